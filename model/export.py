"""``python -m model.export --model PATH --to DIR``: export a model as a Hugging Face folder or GGUF file.

Accepts every format of :func:`model.loading.load`, so it also converts GGUF files and merges adapters. The
folder gets a manifest that records the origin.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from core import errors, manifest, storage
from core.config import ArgumentParser
from core.errors import InputError, ModelError
from core.manifest import FileEntry
from core.stage import Stage
from core.storage import locks
from core.tokenizer import Tokenizer
from core.tokenizer.chat import ChatTemplate
from core.tokenizer.gguf_fields import gguf_fields
from model import loading
from model.formats import gguf_writer, huggingface
from model.loading import STAGE, LoadedModel
from model.transformer import Transformer

REMEDY = "choose another folder with --to, or replace it with --overwrite"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DType = Literal["float32", "bfloat16", "float16", "q8_0"]
"""``q8_0``, 8-bit integers with a scale for each 32, is only for GGUF."""
Format = Literal["huggingface", "gguf"]
GGUF_FILE = "model.gguf"


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = ArgumentParser(
        prog="python -m model.export", description=__doc__.partition("\n")[0].partition(": ")[2]
    )
    parser.add_argument("--model", required=True, help="run, Hugging Face or adapter folder, or .gguf file")
    parser.add_argument("--to", required=True, help="folder to write")
    parser.add_argument(
        "--format", choices=("huggingface", "gguf"), default="huggingface", help="(huggingface)"
    )
    parser.add_argument(
        "--dtype", choices=gguf_writer.DTYPES, default="float32", help="dtype of the weights (float32)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the content of the folder")
    options = parser.parse_args(arguments)
    export(options.model, options.to, options.dtype, options.format, overwrite=options.overwrite)


def export(
    model: str,
    folder: str,
    dtype: DType = "float32",
    file_format: Format = "huggingface",
    *,
    overwrite: bool = False,
) -> None:
    """Write the model at path ``model`` to ``folder``; no effect if that is already done.

    Raises :class:`core.errors.OutputError` if the folder has other content, and :class:`InputError` for a
    model or a tokenizer that the format does not have.
    """
    if dtype not in DTYPES and file_format == "huggingface":
        raise InputError(f"--dtype {dtype}: only GGUF has it; add --format gguf, or choose another")
    if storage.absolute(model) == storage.absolute(folder):
        raise InputError(f"{folder}: is the model itself; name another folder with --to")
    source = loading.find(model)
    settings = {"dtype": dtype} | ({} if file_format == "huggingface" else {"format": file_format})
    stage = Stage(
        STAGE,
        folder,
        manifest.fingerprint(STAGE, settings, [source.sha256]),
        settings,
        [storage.absolute(model)],
        overwrite=overwrite,
        remedy=REMEDY,
        done_message=f"export: already done ({folder})",
    )
    with stage.lock() as done:
        if done:
            return
        loaded = source.load()
        if file_format == "gguf":
            fill = _gguf_writer(loaded, dtype)
        else:
            fill = partial(write, loaded.model, loaded.tokenizer, loaded.configured_stop, dtype=dtype)
            _check_exportable(loaded.model)
        stage.begin()
        publish(
            stage,
            fill,
            counts={"parameters": loaded.model.config.num_parameters},
            facts={
                **loaded.facts,
                "origin": source.name,
                "origin_sha256": source.sha256,
                "tokenizer_sha256": loaded.tokenizer.sha256,
            },
        )
    print(f"export: {loaded.model.config.num_parameters:,} parameters as {dtype}, to {folder}")


def write(
    model: Transformer, tokenizer: Tokenizer, stop: frozenset[int], folder: Path, *, dtype: DType = "float32"
) -> None:
    """Write a model and its tokenizer, without a manifest, to an existing local folder.

    ``stop`` holds the ids that end a text, besides the tokenizer's eos and the template's end-of-turn token.
    """
    stop |= ChatTemplate(tokenizer).stop if tokenizer.chat_template else {tokenizer.eos}
    tokens: dict[str, int | list[int]] = {"eos_token_id": sorted(stop), "pad_token_id": tokenizer.pad}
    if tokenizer.bos is not None:
        tokens["bos_token_id"] = tokenizer.bos
    huggingface.write(folder, model.config, model.state_dict(), tokens, DTYPES[dtype])
    tokenizer.write(str(folder))


def _gguf_writer(loaded: LoadedModel, dtype: DType) -> Callable[[Path], None]:
    """Return what writes a GGUF file to a folder, after all has been checked."""
    model = loaded.model
    stop = loaded.stop | (loaded.chat.stop if loaded.tokenizer.chat_template else frozenset())
    try:
        gguf_writer.metadata(model.config)
        tokenizer = gguf_fields(loaded.tokenizer, model.config.vocabulary_size, stop)
        gguf_writer.check_range(model.state_dict(), dtype)
    except ModelError as error:
        raise InputError(str(error)) from None

    def fill(folder: Path) -> None:
        path = folder / GGUF_FILE
        gguf_writer.write(path, model.config, model.state_dict(), tokenizer, dtype, loaded.name)

    return fill


def publish(
    stage: Stage, fill: Callable[[Path], None], counts: Mapping[str, int], facts: Mapping[str, Any]
) -> None:
    """Write the files with ``fill`` to the folder of a ``stage`` in progress, and the manifest last."""
    files = []
    folder = stage.folder
    with _local_folder(folder) as local:
        fill(local)
        for name in sorted(locks.contents(str(local))):
            if name != manifest.STARTED:
                path = str(local / name)
                size, sha256 = storage.checksum(path)
                files.append(FileEntry(path=name, size=size, rows=0, sha256=sha256))
                if not storage.is_local(folder):
                    storage.upload(path, storage.join(folder, name))
    stage.publish(counts, files, facts)


@contextlib.contextmanager
def _local_folder(folder: str) -> Iterator[Path]:
    """Yield ``folder`` itself if it is local, else a temporary folder."""
    if storage.is_local(folder):
        yield Path(folder.removeprefix("file://"))
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def _check_exportable(model: Transformer) -> None:
    """Raise :class:`InputError` for an architecture that Hugging Face's library does not have."""
    try:
        huggingface.config_json(model.config)
    except ModelError as error:
        raise InputError(str(error)) from None


if __name__ == "__main__":
    errors.run(main)
