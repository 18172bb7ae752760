"""A trained model, whole, in one process: wherever it comes from.

==================  ===========================================================================
a run's folder      ``OUT`` with ``tokenizer/`` and ``training/checkpoints``: its latest checkpoint
a Hugging Face one  ``config.json``, safetensors, ``tokenizer.json``; ours have a manifest besides
an adapter's        as the ``peft`` package writes them; merged into the base model that it names
a ``.gguf`` file    of llama.cpp's
==================  ===========================================================================
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import manifest, shards, storage
from core.config import Config, require
from core.errors import InputError, MismatchError, ModelError
from core.manifest import Manifest
from core.tokenizer import HuggingFaceTokenizer, SentencePieceTokenizer, Tokenizer, sentencepiece_model
from core.tokenizer.chat import Chat
from core.tokenizer.gguf import tokenizer_from_gguf
from core.tokenizer.protocol import TOKENIZER_JSON
from model.config import TransformerConfig
from model.formats import checkpoint, gguf, huggingface, lora
from model.transformer import Transformer

STAGE = "model"
"""Of the manifest of a Hugging Face or adapter folder that Gristmill wrote."""
READ = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*config.json",
    "tokenizer.json",
    "chat_template.jinja",
)
"""The files of a foreign folder that decide what a model is."""
TOLD = ("name", "organization", "license", "languages")
"""What is taken over of a GGUF file's words about itself."""
Parts = tuple[Transformer, Tokenizer, Mapping[str, Any]]
"""Model, tokenizer, and what else was found out in reading them."""


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be used, with what belongs to it."""

    model: Transformer
    """Whole, in evaluation mode, without gradients."""
    tokenizer: Tokenizer
    name: str
    sha256: str
    """The hash of what was loaded: of the file, or of the folder's manifest, or of its files."""
    facts: dict[str, Any]
    """Where it comes from: ``format`` (checkpoint, huggingface, adapter, gguf; of what was exported, the one
    it had before), and what its source says of itself."""

    @cached_property
    def chat(self) -> Chat:
        """Its chat template. Raises :class:`InputError` if it has none."""
        return Chat(self.tokenizer)


@dataclass(frozen=True, slots=True)
class Source:
    """A model that was found and not read yet."""

    path: str
    name: str
    sha256: str
    facts: dict[str, Any]
    parts: Callable[[], Parts]

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Loaded:
        """Read it. Raises what :func:`load` raises."""
        try:
            model, tokenizer, told = self.parts()
        except ModelError as error:
            raise InputError(str(error)) from None
        if tokenizer.vocabulary_size > model.config.vocabulary_size:
            raise MismatchError(
                f"{self.path}: its tokenizer knows {tokenizer.vocabulary_size} tokens, the model only "
                f"{model.config.vocabulary_size}; put the tokenizer there that the model was trained with"
            )
        model.to(device, dtype)
        return Loaded(model, tokenizer, self.name, self.sha256, {**told, **self.facts})


def load(path: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Loaded:
    """Load a run's folder, a Hugging Face or adapter folder, or a .gguf file.

    Raises :class:`InputError` for what is not there or is no such model, :class:`MismatchError` for parts
    that do not belong together, and :class:`ManifestError` for files that are unfinished or were altered.
    """
    return find(path).load(device, dtype)


def find(path: str) -> Source:
    """Find out what stands at ``path``, and its hash; raises as :func:`load` does."""
    if storage.exists(storage.join(path, "training")):
        return _run(path)
    if not Path(path).exists():
        raise InputError(f"{path}: nothing there on this machine; check the path")
    if path.endswith(".gguf"):
        return _gguf(path)
    if Path(path, lora.CONFIG).exists():
        return _adapter(path)
    if Path(path, huggingface.CONFIG).exists() or Path(path, manifest.STARTED).exists():
        return _huggingface(path)
    raise InputError(
        f"{path}: no model that is known here: neither a run's folder (training/ in it), nor a Hugging Face "
        "folder (config.json), an adapter's (adapter_config.json) or a .gguf file; check the path"
    )


def _run(path: str) -> Source:
    """A run of ours."""
    place, found = _latest(path)
    facts = {
        "format": "checkpoint",
        **found.counts,
        "learning_rate": found.facts["train"]["learning_rate"],
        "shards_sha256": found.facts["shards_sha256"],
    }

    def parts() -> Parts:
        model, tokenizer = _trained(path, place, found)
        model.config = replace(model.config, context=_context(path))
        return model, tokenizer, {}

    return Source(path, storage.name(storage.absolute(path)), found.sha256(), facts, parts)


def _context(path: str) -> int:
    """The length of the sequences that a run has learned from; 0 if its shards are not there any more."""
    folder = storage.join(path, "shards")
    if not storage.exists(storage.join(folder, manifest.NAME)):
        return 0
    return int(manifest.read(folder, shards.STAGE).facts["sequence_length"])


def _gguf(path: str) -> Source:
    """A file of llama.cpp's."""

    def parts() -> Parts:
        content = gguf.read(Path(path))
        told = {key: content.fields[f"general.{key}"] for key in TOLD if f"general.{key}" in content.fields}
        return assembled(content.config, content.state), tokenizer_from_gguf(content.fields, path), told

    return Source(path, Path(path).stem, storage.checksum(path)[1], {"format": "gguf"}, parts)


def _huggingface(path: str) -> Source:
    """A Hugging Face folder, foreign or ours."""
    sha256, facts = _identity(path)

    def parts() -> Parts:
        model = assembled(*huggingface.read(Path(path)))
        return model, _tokenizer(path, facts), {}

    return Source(path, _name(path), sha256, {"format": "huggingface", **facts}, parts)


def _adapter(path: str) -> Source:
    """An adapter, with the model that it corrects."""
    sha256, facts = _identity(path)
    try:
        adapter = lora.read(path)
    except ModelError as error:
        raise InputError(str(error)) from None
    base = _base(path, adapter.base)
    if facts.get("base_sha256", base.sha256) != base.sha256:
        raise MismatchError(
            f"{path}: made for a model {facts['base_sha256'][:12]}…, but {base.path} is "
            f"{base.sha256[:12]}…; put back the other or fine-tune again"
        )

    def parts() -> Parts:
        loaded = base.load()
        lora.apply(loaded.model, adapter)
        own = Path(path, TOKENIZER_JSON).exists()
        return loaded.model, _tokenizer(path, facts) if own else loaded.tokenizer, loaded.facts

    whole = hashlib.sha256(manifest.canonical([base.sha256, sha256])).hexdigest()
    told = {**base.facts, **facts, "format": "adapter", "base": base.name, "base_sha256": base.sha256}
    return Source(path, _name(path), whole, told, parts)


def _name(path: str) -> str:
    """What a model in a folder is called: as the folder; as the run whose ``OUT/model`` it is."""
    folder = Path(path).resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def _base(path: str, named: str) -> Source:
    """The model that an adapter names; a relative path may also be meant from the adapter's folder."""
    here = [place for place in (Path(named), Path(path, named)) if named and place.exists()]
    if not here or here[0].samefile(path):
        raise InputError(
            f"{path}: corrects the model {named!r}, which is not on this machine; get it and name its folder "
            f"as base_model_name_or_path in {lora.CONFIG}"
        )
    return find(str(here[0]))


def _identity(path: str) -> tuple[str, dict[str, Any]]:
    """The hash of a folder, and what its manifest tells if there is one; all files are compared with that."""
    if Path(path, manifest.NAME).exists() or Path(path, manifest.STARTED).exists():
        found = manifest.read(path, STAGE)
        manifest.verify(path, found)
        return found.sha256(), found.facts
    files = sorted({file for pattern in READ for file in Path(path).glob(pattern)})
    hashes = [[file.name, storage.checksum(str(file))[1]] for file in files]
    return hashlib.sha256(manifest.canonical(hashes)).hexdigest(), {}


def _tokenizer(path: str, facts: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer in a folder: one of our own making as such, others by their definition."""
    own = Path(path, sentencepiece_model.MODEL)
    if own.exists() and storage.checksum(str(own))[1] == facts.get("tokenizer_sha256"):
        return SentencePieceTokenizer(own.read_bytes())
    return HuggingFaceTokenizer.load(path)


def assembled(config: TransformerConfig, state: Mapping[str, Tensor]) -> Transformer:
    """A model made of these very tensors, in evaluation mode, without gradients."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(state, assign=True)
    return model.float().eval().requires_grad_(False)


def load_trained(
    config: Config, device: torch.device
) -> tuple[Transformer, SentencePieceTokenizer, Manifest]:
    """The model of a run's latest checkpoint, whole and in float32, its tokenizer, the checkpoint's manifest.

    Raises :class:`InputError` if there is no checkpoint, and :class:`MismatchError` for a foreign tokenizer.
    """
    require(config, "output.path")
    place, found = _latest(config.output.path)
    model, tokenizer = _trained(config.output.path, place, found)
    return model.to(device), tokenizer, found


def _latest(output: str) -> tuple[str, Manifest]:
    """A run's latest checkpoint: its folder and manifest."""
    folder = storage.join(output, "training", "checkpoints")
    found = checkpoint.latest(folder)
    if found is None:
        raise InputError(f"{folder}: no checkpoint there; train a model first (torchrun -m train)")
    return found


def _trained(output: str, place: str, found: Manifest) -> tuple[Transformer, SentencePieceTokenizer]:
    tokenizer = SentencePieceTokenizer.load(storage.join(output, "tokenizer"))
    if found.facts["tokenizer_sha256"] != tokenizer.sha256:
        raise MismatchError(
            f"{place}: trained with tokenizer {found.facts['tokenizer_sha256'][:12]}…, but output.path "
            f"holds {tokenizer.sha256[:12]}…; put back the other or train again"
        )
    model = Transformer(TransformerConfig.from_dict(found.facts["model"]))
    checkpoint.restore_weights(place, found, model)
    return model.eval().requires_grad_(False), tokenizer
