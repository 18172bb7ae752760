"""Pre-training that starts from a model: continued pre-training, ``train.init_from``."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from core import storage
from core.config import Config, ModelConfig
from core.errors import ConfigError, MismatchError
from core.manifest import Manifest
from core.run_paths import run_folder
from core.shards import Shards
from core.tokenizer import Tokenizer
from model import loading
from model.config import TransformerConfig
from model.loading import LoadedModel
from model.run_folder import find_run

FREE_KEYS = frozenset({"dropout", "size"})
"""Keys of ``[model]`` that do not describe weights."""
TOKEN_WEIGHTS = ("embedding.weight", "output.weight")
"""Parameters with a row for each token."""


@dataclass(frozen=True, slots=True)
class InitialModel:
    """Architecture and weights that a run starts from."""

    config: TransformerConfig
    sha256: str
    """Hash of the model that was loaded."""
    weights: Mapping[str, Tensor]
    checkpoint: tuple[str, Manifest] | None
    """Checkpoint whose optimizer state the run inherits, if it does."""


def load_initial_model(config: Config, shards: Shards, tokenizer: Tokenizer) -> InitialModel:
    """Load the model ``train.init_from``, in float32, to train it on shards made with ``tokenizer``.

    Tokens that the tokenizer has added to the model's get the mean of the other embeddings (Hewitt 2021).

    Raises :class:`ConfigError` for settings in ``[model]`` that the model does not have, for rows longer than
    its learned positions, and for an optimizer state that it does not have; :class:`MismatchError` for
    shards of another tokenizer; and the errors of :func:`model.loading.load`.
    """
    path, facts = config.train.init_from, shards.facts
    found = find_run(path)
    if found and storage.absolute(found.folder) == storage.absolute(run_folder(config)):
        raise ConfigError(
            f"train.init_from = {path}: is this run itself; name this one otherwise by train.name, or leave "
            "init_from out to continue it"
        )
    source = loading.find(path)
    if config.train.init_optimizer:
        _check_optimizer(config, source)
    base = source.load()
    shape = adapt_config(config.model, path, base.model.config, facts.vocabulary_size, facts.sequence_length)
    check_same_tokens(shards.folder, tokenizer, path, base)
    if config.train.init_optimizer and shape.vocabulary_size != base.model.config.vocabulary_size:
        raise ConfigError(
            f"train.init_optimizer = true: the shards have {shape.vocabulary_size} tokens, {path} has "
            f"{base.model.config.vocabulary_size}, and no state for the others; set it to false"
        )
    weights: dict[str, Tensor] = base.model.state_dict()
    for name in weights.keys() & set(TOKEN_WEIGHTS):
        weights[name] = _with_rows(weights[name], shape.vocabulary_size)
    return InitialModel(
        shape, base.sha256, weights, source.checkpoint if config.train.init_optimizer else None
    )


def _check_optimizer(config: Config, source: loading.ModelSource) -> None:
    """Raise :class:`ConfigError` unless the model has a state of the optimizer that the run uses."""
    path, optimizer = config.train.init_from, config.train.optimizer
    if not source.checkpoint:
        raise ConfigError(
            f"train.init_optimizer = true: {path} has no state of the optimizer, only a run or one of its "
            "checkpoints has; set it to false"
        )
    found = source.checkpoint[1].facts["train"].get("optimizer", "adamw")
    if found != optimizer:
        raise ConfigError(
            f"train.init_optimizer = true: {path} was trained with {found}, not with {optimizer}; set it to "
            f"false, or train.optimizer to {found}"
        )


def adapt_config(
    settings: ModelConfig, path: str, shape: TransformerConfig, vocabulary_size: int, sequence_length: int
) -> TransformerConfig:
    """Return the architecture of the model at ``path`` for tokens and rows of these sizes.

    Raises :class:`ConfigError` for keys that are set in ``settings`` to other values than the model's, and
    for rows longer than learned positions.
    """
    learned = shape.positions == "learned"
    own = {**asdict(shape), "architecture": "gpt2" if learned else "llama"}
    for key in sorted(settings.model_fields_set - FREE_KEYS):
        value = getattr(settings, key)
        is_default = key in ("intermediate_size", "head_size") and not value
        if not is_default and not _same(value, own[key]):
            raise ConfigError(
                f"model.{key} = {value}: the model {path}, from which training starts, has {own[key]}; "
                "leave it out, or start from another model"
            )
    if learned and shape.context < sequence_length:
        raise ConfigError(
            f"train.init_from = {path}: has learned positions for {shape.context} tokens, but the rows of "
            f"the shards have {sequence_length}; pack with --set pack.sequence_length={shape.context}"
        )
    return replace(
        shape,
        vocabulary_size=max(shape.vocabulary_size, vocabulary_size),
        context=max(shape.context, sequence_length) if shape.context else 0,
        dropout=settings.dropout if "dropout" in settings.model_fields_set else shape.dropout,
    )


def check_same_tokens(folder: str, tokenizer: Tokenizer, path: str, base: LoadedModel) -> None:
    """Raise :class:`MismatchError` unless all tokens of ``base`` have the same ids in ``tokenizer``.

    Files of one tokenizer differ by format, so their hashes only show that two are the same.
    """
    if tokenizer.sha256 == base.tokenizer.sha256:
        return
    own, others = _token_names(tokenizer), _token_names(base.tokenizer)
    for token, name in enumerate(others):
        found = own[token] if token < len(own) else None
        if found != name:
            raise MismatchError(
                f"{folder}: packed with a tokenizer whose token {token} is {found!r}, but in that of {path} "
                f"it is {name!r}; make tokenizer and shards again with --set "
                f"tokenizer.path={_tokenizer_of(path)}"
            )


def loaded_weights(
    weights: Mapping[str, Tensor], other: Callable[[str, torch.Size], Tensor]
) -> Callable[[str, torch.Size], Tensor]:
    """Return a function from parameter name to initial value: the loaded one, else that of ``other``."""
    return lambda name, shape: weights[name] if name in weights else other(name, shape)


def _token_names(tokenizer: Tokenizer) -> list[bytes]:
    """Return the bytes of each token; of special tokens, their names."""
    special = {token: name.encode() for name, token in tokenizer.special.items()}
    return [special.get(token) or tokenizer.token_bytes(token) for token in range(tokenizer.vocabulary_size)]


def _tokenizer_of(path: str) -> str:
    """Return a path for ``tokenizer.path`` to the tokenizer of the model at ``path``."""
    if path.endswith(".gguf"):
        return f"FOLDER, after python -m model.export --model {path} --to FOLDER"
    return path


def _with_rows(weight: Tensor, number: int) -> Tensor:
    """Return ``weight`` with ``number`` rows; new ones are the mean of the others."""
    missing = number - len(weight)
    return torch.cat([weight, weight.mean(0, keepdim=True).expand(missing, -1)]) if missing else weight


def _same(value: object, other: object) -> bool:
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other, rel_tol=1e-6)  # some formats have float32
    return value == other
