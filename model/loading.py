"""Load a trained model from any supported format.

====================  ==========================================================================
run folder            ``OUT`` or ``OUT/NAME`` with ``checkpoints/``: its latest checkpoint, or one of them
Hugging Face folder   ``config.json``, safetensors, ``tokenizer.json``; with a manifest if ours
adapter folder        in the format of the ``peft`` package; merged into its base model
``.gguf`` file        of llama.cpp
====================  ==========================================================================
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core import manifest, shards, storage
from core.config import Config, require
from core.errors import InputError, MismatchError, ModelError
from core.manifest import Manifest
from core.run_paths import run_folder
from core.tokenizer import (
    HuggingFaceTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    load_published,
    sentencepiece_model,
)
from core.tokenizer.chat import ChatTemplate
from core.tokenizer.gguf import tokenizer_from_gguf
from core.tokenizer.protocol import TOKENIZER_JSON
from model.config import TransformerConfig
from model.formats import adapter, checkpoint, gguf, huggingface
from model.run_folder import RunFolder, find_run, named_runs, parent
from model.transformer import Transformer

STAGE = "model"
"""Stage in the manifest of a Hugging Face or adapter folder written by Gristmill."""
HASHED_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""Files that define the model in a folder without a manifest."""
GGUF_FACTS = ("name", "organization", "license", "languages")
"""Fields ``general.*`` of a GGUF file that are kept as facts."""
GGUF_STOP_FIELDS = ("eos", "eot", "eom")
"""Fields ``tokenizer.ggml.*_token_id`` of a GGUF file with tokens that end a text, a turn or a message."""


@dataclass(frozen=True, slots=True)
class Components:
    """Model, tokenizer and facts read from a model's files."""

    model: Transformer
    tokenizer: Tokenizer
    stop: frozenset[int] = frozenset()
    """Ids that end a text, besides the tokenizer's eos."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Facts that are known only after reading."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready for use, with its tokenizer and origin."""

    model: Transformer
    """Unsharded, in evaluation mode, without gradients."""
    tokenizer: Tokenizer
    name: str
    sha256: str
    """Hash of the file, or of the folder's manifest, or of its files."""
    facts: dict[str, Any]
    """Origin: ``format`` (checkpoint, huggingface, adapter or gguf; an export keeps that of its source) and
    the source's own facts."""
    configured_stop: frozenset[int] = frozenset()
    """Ids that end a text by the model's configuration, besides the tokenizer's eos."""

    @property
    def stop(self) -> frozenset[int]:
        """Ids that end a text. Those that end an answer are ``chat.stop``."""
        return self.configured_stop | {self.tokenizer.eos}

    @cached_property
    def chat(self) -> ChatTemplate:
        """Chat template of the tokenizer. Raises :class:`InputError` if it has none."""
        return ChatTemplate(self.tokenizer, self.configured_stop)


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A model that was found but not read yet."""

    path: str
    name: str
    sha256: str
    facts: dict[str, Any]
    read: Callable[[], Components]
    checkpoint: tuple[str, Manifest] | None = None
    """Path and manifest of the training checkpoint, if it is one."""

    def load(self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> LoadedModel:
        """Read the model; raises as :func:`load`."""
        try:
            found = self.read()
        except ModelError as error:
            raise InputError(str(error)) from None
        size, limit = found.tokenizer.vocabulary_size, found.model.config.vocabulary_size
        if size > limit:
            raise MismatchError(
                f"{self.path}: the tokenizer has {size} tokens, the model only {limit}; use the tokenizer "
                "that the model was trained with"
            )
        found.model.to(device, dtype)
        facts = {**found.facts, **self.facts}
        stop = found.stop.intersection(range(limit))
        return LoadedModel(found.model, found.tokenizer, self.name, self.sha256, facts, stop)


def load(path: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> LoadedModel:
    """Load a run folder, a Hugging Face or adapter folder, or a ``.gguf`` file.

    Raises :class:`InputError` if there is no supported model, :class:`MismatchError` for components that do
    not belong together, and :class:`ManifestError` for unfinished or altered files.
    """
    return find(path).load(device, dtype)


def find(path: str) -> ModelSource:
    """Identify the model at ``path`` and compute its hash; raises as :func:`load`."""
    if run := find_run(path):
        return _find_checkpoint(path, run)
    if not Path(path).exists():
        raise InputError(f"{path}: does not exist on this machine; check the path")
    if path.endswith(".gguf"):
        return _find_gguf(path)
    if Path(path, adapter.CONFIG).exists():
        return _find_adapter(path)
    if Path(path, huggingface.CONFIG).exists() or Path(path, manifest.STARTED).exists():
        return _find_huggingface(path)
    if runs := named_runs(path):
        raise InputError(f"{path}: holds several runs; name one of {', '.join(runs)}")
    raise InputError(
        f"{path}: not a supported model: neither a run folder (contains training/), a Hugging Face folder "
        "(config.json), an adapter folder (adapter_config.json) nor a .gguf file; check the path, "
        "or train a model first (torchrun -m train)"
    )


def load_latest_checkpoint(config: Config, device: torch.device) -> tuple[Transformer, Tokenizer, Manifest]:
    """Return the model of a run's latest checkpoint in float32, its tokenizer, and the checkpoint's manifest.

    Raises :class:`InputError` if there is no checkpoint, and :class:`MismatchError` for another tokenizer.
    """
    require(config, "output.path")
    run = RunFolder(run_folder(config))
    path, found = run.find_checkpoint()
    model, tokenizer = _read_checkpoint(run, path, found)
    return model.to(device), tokenizer, found


def find_run_of(config: Config) -> ModelSource:
    """Return the latest checkpoint of the run in a configuration; raises as :func:`load`."""
    require(config, "output.path")
    folder = run_folder(config)
    return _find_checkpoint(folder, RunFolder(folder))


def build_model(config: TransformerConfig, state: Mapping[str, Tensor]) -> Transformer:
    """Return a float32 model with the weights in ``state``, in evaluation mode, without gradients."""
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(state, assign=True)
    return model.float().eval().requires_grad_(False)


def _find_checkpoint(path: str, run: RunFolder) -> ModelSource:
    checkpoint_path, found = run.find_checkpoint()
    facts = {
        "format": "checkpoint",
        **found.counts,
        "learning_rate": found.facts["train"]["learning_rate"],
        "shards_sha256": found.facts["shards_sha256"],
    }

    def read() -> Components:
        model, tokenizer = _read_checkpoint(run, checkpoint_path, found)
        if not model.config.context:
            model.config = replace(model.config, context=_training_context(run, found))
        return Components(model, tokenizer)

    name = storage.name(storage.absolute(path))
    return ModelSource(path, name, found.sha256(), facts, read, (checkpoint_path, found))


def _training_context(run: RunFolder, found: Manifest) -> int:
    """Return the sequence length that a checkpoint was trained with; 0 if it is unknown."""
    if length := found.facts.get("sequence_length"):
        return int(length)
    folder = storage.join(parent(run.folder), "shards")  # checkpoints of version 0.1 do not have it
    if not storage.exists(storage.join(folder, manifest.NAME)):
        return 0
    return int(manifest.read(folder, shards.STAGE).facts["sequence_length"])


def _read_checkpoint(run: RunFolder, path: str, found: Manifest) -> tuple[Transformer, Tokenizer]:
    folder = run.tokenizer
    tokenizer = load_published(folder)
    if found.facts["tokenizer_sha256"] != tokenizer.sha256:
        raise MismatchError(
            f"{path}: trained with tokenizer {found.facts['tokenizer_sha256'][:12]}…, but {folder} is "
            f"{tokenizer.sha256[:12]}…; restore the former or train again"
        )
    model = Transformer(TransformerConfig.from_dict(found.facts["model"]))
    checkpoint.load_weights(path, found, model)
    return model.eval().requires_grad_(False), tokenizer


def _find_gguf(path: str) -> ModelSource:
    def read() -> Components:
        content = gguf.read(Path(path))
        metadata = content.metadata
        facts = {key: metadata[f"general.{key}"] for key in GGUF_FACTS if f"general.{key}" in metadata}
        fields = (metadata.get(f"tokenizer.ggml.{name}_token_id") for name in GGUF_STOP_FIELDS)
        stop = frozenset(token for token in fields if isinstance(token, int))
        model = build_model(content.config, content.state)
        return Components(model, tokenizer_from_gguf(metadata, path), stop, facts)

    return ModelSource(path, Path(path).stem, storage.checksum(path)[1], {"format": "gguf"}, read)


def _find_huggingface(path: str) -> ModelSource:
    sha256, facts = _verify_folder(path)

    def read() -> Components:
        model = build_model(*huggingface.read(Path(path)))
        return Components(model, _load_tokenizer(path, facts), huggingface.stop_tokens(Path(path)))

    return ModelSource(path, _folder_name(path), sha256, {"format": "huggingface", **facts}, read)


def _find_adapter(path: str) -> ModelSource:
    """Find an adapter together with its base model."""
    adapter_sha256, adapter_facts = _verify_folder(path)
    try:
        found = adapter.read(path)
    except ModelError as error:
        raise InputError(str(error)) from None
    base = _find_base(path, found.base)
    if adapter_facts.get("base_sha256", base.sha256) != base.sha256:
        raise MismatchError(
            f"{path}: made for model {adapter_facts['base_sha256'][:12]}…, but {base.path} is "
            f"{base.sha256[:12]}…; restore the former or fine-tune again"
        )

    def read() -> Components:
        loaded = base.load()
        adapter.apply(loaded.model, found)
        has_tokenizer = Path(path, TOKENIZER_JSON).exists()
        tokenizer = _load_tokenizer(path, adapter_facts) if has_tokenizer else loaded.tokenizer
        return Components(loaded.model, tokenizer, loaded.configured_stop, loaded.facts)

    sha256 = hashlib.sha256(manifest.canonical([base.sha256, adapter_sha256])).hexdigest()
    origin = {"format": "adapter", "base": base.name, "base_sha256": base.sha256}
    return ModelSource(path, _folder_name(path), sha256, {**base.facts, **adapter_facts, **origin}, read)


def _folder_name(path: str) -> str:
    """Return the name of a model's folder, or of the run if it is ``OUT/model``."""
    folder = Path(path).resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def _find_base(path: str, name: str) -> ModelSource:
    """Find an adapter's base model; ``name`` is relative to the working directory or the adapter's folder."""
    candidates = [candidate for candidate in (Path(name), Path(path, name)) if name and candidate.exists()]
    if not candidates or candidates[0].samefile(path):
        raise InputError(
            f"{path}: adapts the model {name!r}, which is not on this machine; get it and set "
            f"base_model_name_or_path in {adapter.CONFIG} to its folder"
        )
    return find(str(candidates[0]))


def _verify_folder(path: str) -> tuple[str, dict[str, Any]]:
    """Return the hash and facts of a folder, after comparing its files with the manifest if it has one."""
    if Path(path, manifest.NAME).exists() or Path(path, manifest.STARTED).exists():
        found = manifest.read(path, STAGE)
        manifest.verify(path, found)
        return found.sha256(), found.facts
    files = sorted({file for pattern in HASHED_FILES for file in Path(path).glob(pattern)})
    hashes = [[file.name, storage.checksum(str(file))[1]] for file in files]
    return hashlib.sha256(manifest.canonical(hashes)).hexdigest(), {}


def _load_tokenizer(path: str, facts: Mapping[str, Any]) -> Tokenizer:
    """Load the tokenizer in a folder, as SentencePiece if it is the one that the manifest names."""
    model_file = Path(path, sentencepiece_model.MODEL)
    if model_file.exists() and storage.checksum(str(model_file))[1] == facts.get("tokenizer_sha256"):
        return SentencePieceTokenizer(model_file.read_bytes())
    return HuggingFaceTokenizer.load(path)
