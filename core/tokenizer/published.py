"""The tokenizer of a run: the output of the tokenizer stage."""

from collections.abc import Mapping, Sequence
from typing import Any

from core import manifest, storage
from core.manifest import FileEntry, Manifest
from core.stage import Stage
from core.tokenizer.huggingface import HuggingFaceTokenizer
from core.tokenizer.protocol import TOKENIZER_CONFIG, TOKENIZER_JSON, Tokenizer
from core.tokenizer.sentencepiece_model import MODEL, SentencePieceTokenizer

STAGE = "tokenizer"


def load_published(folder: str) -> Tokenizer:
    """Load the tokenizer that the tokenizer stage published in ``folder``.

    Raises :class:`core.errors.ManifestError` if it is unfinished or altered.
    """
    found = manifest.read(folder, STAGE)
    manifest.verify(folder, found)
    return _load(folder, [entry.path for entry in found.files])


def publish(
    tokenizer: Tokenizer, stage: Stage, facts: Mapping[str, Any], files: Sequence[FileEntry] = ()
) -> Manifest:
    """Publish a tokenizer in the folder of ``stage``, as a folder for Hugging Face's libraries.

    ``facts`` and ``files``, already written, are added to the manifest.
    """
    tokenizer.write(stage.folder)
    names = [MODEL] if isinstance(tokenizer, SentencePieceTokenizer) else []
    names += [TOKENIZER_JSON, TOKENIZER_CONFIG]
    written = _load(stage.folder, names)
    return stage.publish(
        counts={"vocabulary_size": written.vocabulary_size},
        files=[*(manifest.file_entry(stage.folder, name) for name in names), *files],
        facts={"sha256": written.sha256, "special": dict(written.special), **facts},
    )


def copy_published(source: str, folder: str) -> None:
    """Copy the tokenizer that the tokenizer stage published in ``source``."""
    found = manifest.read(source, STAGE)
    for entry in found.files:
        data = storage.read_bytes(storage.join(source, entry.path))
        storage.write_atomic(storage.join(folder, entry.path), data)
    manifest.publish(folder, found)


def _load(folder: str, names: Sequence[str]) -> Tokenizer:
    """Load a tokenizer from those of the files that a run published."""
    if MODEL in names:
        return SentencePieceTokenizer(storage.read_bytes(storage.join(folder, MODEL)))
    return HuggingFaceTokenizer.load(folder)
