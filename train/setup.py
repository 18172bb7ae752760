"""What a training run is, known and checked before anything is written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from core import config as configuration
from core import manifest, storage
from core.config import Config, TrainConfig
from core.errors import ConfigError
from core.manifest import Stage
from core.shards import Shards, check_tokenizer
from core.tokenizer import SentencePieceTokenizer, Tokenizer
from model.config import TransformerConfig, default_intermediate_size
from model.transformer import Transformer
from train.parallel import World, fresh_weights
from train.rows import PackedRows, ShardRows
from train.stream import Stream

STAGE = "train"
OWNED = ("checkpoints", "metrics.jsonl", "tensorboard", "validation.json")
"""What training leaves in its folder besides the manifest."""
OPERATIONAL = (
    "micro_batch_size",
    "checkpoint_every",
    "keep_checkpoints",
    "compile",
    "activation_checkpointing",
)
"""Keys of ``[train]`` that may differ when a run is resumed: they do not change what is learned from what."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The parts of a run, pre-training or fine-tuning, which belong together."""

    stage: str
    """Names the run's manifest and the section of its settings."""
    folder: str
    """Where checkpoints, metrics and the manifest go."""
    train: TrainConfig
    config: Mapping[str, Any]
    """The resolved sections that the manifest tells of."""
    inputs: list[str]
    model: TransformerConfig
    tokenizer: Tokenizer
    rows: PackedRows
    stream: Stream
    pins: dict[str, Any]
    """What a checkpoint of this run must agree with."""
    weights: Callable[[str, torch.Size], Tensor]
    """The value of each parameter before the first step, the same in every process."""
    adapt: Callable[[Transformer], None] = lambda _: None
    """Changes the layers of a model that has no weights yet, and says what of it is trained."""

    @property
    def fingerprint(self) -> str:
        """Hash of the pins."""
        return manifest.fingerprint(self.stage, self.pins, [])


def open_shards(config: Config) -> Shards:
    """The shards of a run; their hashes are not compared yet."""
    configuration.require(config, "output.path")
    return Shards.open(storage.join(config.output.path, "shards"), verify=False)


def prepare(config: Config, shards: Shards) -> Setup:
    """All that pre-training on ``shards`` needs.

    Raises :class:`core.errors.MismatchError` for a tokenizer that the shards were not made with.
    """
    tokenizer = SentencePieceTokenizer.load(storage.join(config.output.path, "tokenizer"))
    check_tokenizer(shards, tokenizer)
    rows, model = ShardRows(shards), _model(config, shards)
    return Setup(
        stage=STAGE,
        folder=storage.join(config.output.path, "training"),
        train=config.train,
        config=configuration.resolved(config, "model", "train"),
        inputs=[shards.folder, storage.join(config.output.path, "tokenizer")],
        model=model,
        tokenizer=tokenizer,
        rows=rows,
        stream=stream(rows, config.train),
        pins={
            "model": asdict(model),
            "tokenizer_sha256": tokenizer.sha256,
            "shards_sha256": rows.sha256,
            "train": pinned(config.train),
        },
        weights=fresh_weights(model, config.train.seed),
    )


def stream(rows: PackedRows, train: TrainConfig) -> Stream:
    """The order in which a run meets the training rows."""
    counts = {source: rows.rows("train", source) for source in rows.sources}
    return Stream(rows.sha256, train.seed, counts, train.mixture)


def pinned(train: TrainConfig) -> dict[str, Any]:
    """The settings that decide what is learned."""
    return {key: value for key, value in train.model_dump(mode="json").items() if key not in OPERATIONAL}


def verify_shards(shards: Shards, world: World) -> None:
    """Compare the hashes of all local shard files, shared among the processes of a host.

    Returns when all of them have found theirs sound. Copies of remote files are compared when fetched.
    """
    if storage.is_local(shards.folder):
        for entry in shards.manifest.files[world.local_rank :: world.local_size]:
            manifest.verify_file(shards.folder, entry)
    world.wait()


def check_world(section: str, train: TrainConfig, world: World) -> None:
    """Refuse a batch that cannot be shared out evenly (:class:`ConfigError`)."""
    if train.batch_size % world.size:
        raise ConfigError(
            f"{section}.batch_size = {train.batch_size}: must be a multiple of the number of processes, "
            f"{world.size}; change it or --nproc-per-node"
        )


def claim(setup: Setup, overwrite: bool) -> bool:
    """Take the run's folder for it; whether the run is already complete.

    Raises :class:`core.errors.OutputError` if it holds another run, unless told to ``overwrite``.
    """
    return bool(_stage(setup, overwrite).begin())


def publish(setup: Setup, **counts: int) -> None:
    """Write the manifest of a complete run, with the last step's metrics."""
    lines = storage.read_bytes(storage.join(setup.folder, "metrics.jsonl")).splitlines()
    steps, batch = setup.train.steps, setup.train.batch_size
    _stage(setup).publish(
        {"steps": steps, "sequences": steps * batch, "parameters": setup.model.num_parameters, **counts},
        [manifest.file_entry(setup.folder, "metrics.jsonl", rows=steps)],
        {**setup.pins, "metrics": json.loads(lines[-1])},
    )


def _stage(setup: Setup, overwrite: bool = False) -> Stage:
    return Stage(
        setup.stage,
        setup.folder,
        setup.fingerprint,
        setup.config,
        setup.inputs,
        owned=OWNED,
        overwrite=overwrite,
        done_message=f"{setup.stage}: already done (step {setup.train.steps})",
    )


def precision(train: TrainConfig, device: torch.device) -> Literal["float32", "bfloat16"]:
    """The precision to compute in on a device."""
    if train.precision != "auto":
        return train.precision
    return "bfloat16" if device.type == "cuda" else "float32"


def _model(config: Config, shards: Shards) -> TransformerConfig:
    section = config.model
    return TransformerConfig(
        vocabulary_size=shards.facts.vocabulary_size,
        num_layers=section.num_layers,
        hidden_size=section.hidden_size,
        num_heads=section.num_heads,
        num_kv_heads=section.num_kv_heads,
        intermediate_size=section.intermediate_size or default_intermediate_size(section.hidden_size),
        rope_theta=section.rope_theta,
        norm_epsilon=section.norm_epsilon,
        tied=section.tied,
    )
