"""A trained model, whole, in one process: wherever it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model import gguf
from model.config import ModelConfig
from model.errors import ModelError
from model.transformer import Transformer
from pipeline import storage
from pipeline.config import Config, require
from pipeline.errors import InputError, MismatchError
from pipeline.manifest import Manifest
from pipeline.tokenizer import TextTokenizer, Tokenizer, ggml
from pipeline.tokenizer.chat import Chat
from train import checkpoint


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be used, with what belongs to it."""

    model: Transformer
    """Whole, in evaluation mode, without gradients."""
    tokenizer: TextTokenizer
    name: str
    sha256: str
    """The hash of what was loaded: of the file, or of the manifest or files of the folder."""
    facts: dict[str, Any]
    """Where it comes from: ``format``, and what its source says of itself."""

    @cached_property
    def chat(self) -> Chat:
        """Its chat template. Raises :class:`InputError` if it has none."""
        return Chat(self.tokenizer)


def load(path: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Loaded:
    """Load a run's folder (its latest checkpoint) or a .gguf file.

    Raises :class:`InputError` for what is not there or is no such model, :class:`MismatchError` for parts
    that do not belong together, and :class:`ManifestError` for files that were altered.
    """
    try:
        found = _gguf(path) if path.endswith(".gguf") else _run(path)
    except ModelError as error:
        raise InputError(str(error)) from None
    if found.tokenizer.vocabulary_size > found.model.config.vocabulary_size:
        raise MismatchError(
            f"{path}: the tokenizer knows {found.tokenizer.vocabulary_size} tokens, the model only "
            f"{found.model.config.vocabulary_size}; put the tokenizer there that the model was trained with"
        )
    found.model.to(device, dtype)
    return found


def _run(path: str) -> Loaded:
    """A run of ours."""
    model, tokenizer, found = _trained(path)
    name = storage.name(storage.absolute(path))
    return Loaded(model, tokenizer, name, found.sha256(), {"format": "checkpoint", **found.counts})


def _gguf(path: str) -> Loaded:
    """A file of llama.cpp's."""
    file = Path(path)
    if not file.is_file():
        raise InputError(f"{path}: no such file on this machine; check the path")
    content = gguf.read(file)
    tokenizer = ggml.tokenizer(content.fields, path)
    told = {
        key.removeprefix("general."): value
        for key, value in content.fields.items()
        if key.startswith("general.") and isinstance(value, str)
    }
    _, sha256 = storage.checksum(path)
    model = assembled(content.config, content.state)
    return Loaded(model, tokenizer, file.stem, sha256, {"format": "gguf", **told})


def assembled(config: ModelConfig, state: Mapping[str, Tensor]) -> Transformer:
    """A model made of these very tensors, in evaluation mode, without gradients."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def load_trained(config: Config, device: torch.device) -> tuple[Transformer, Tokenizer, Manifest]:
    """The model of a run's latest checkpoint, whole and in float32, its tokenizer, the checkpoint's manifest.

    Raises :class:`InputError` if there is no checkpoint, and :class:`MismatchError` for a foreign tokenizer.
    """
    require(config, "output.path")
    model, tokenizer, manifest = _trained(config.output.path)
    return model.to(device), tokenizer, manifest


def _trained(output: str) -> tuple[Transformer, Tokenizer, Manifest]:
    folder = storage.join(output, "training", "checkpoints")
    found = checkpoint.latest(folder)
    if found is None:
        raise InputError(f"{folder}: no checkpoint there; train a model first (torchrun -m train)")
    place, manifest = found
    tokenizer = Tokenizer.load(storage.join(output, "tokenizer"))
    if manifest.facts["tokenizer_sha256"] != tokenizer.sha256:
        raise MismatchError(
            f"{place}: trained with tokenizer {manifest.facts['tokenizer_sha256'][:12]}…, but output.path "
            f"holds {tokenizer.sha256[:12]}…; put back the other or train again"
        )
    model = Transformer(ModelConfig.from_dict(manifest.facts["model"]))
    checkpoint.restore_weights(place, manifest, model)
    return model.eval().requires_grad_(False), tokenizer, manifest
