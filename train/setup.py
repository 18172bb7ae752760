"""What a training run is, known and checked before anything is written."""

import json
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from model.config import ModelConfig, default_hidden
from pipeline import config as configuration
from pipeline import manifest, storage
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.manifest import FileEntry
from pipeline.shards import Shards, check_tokenizer
from pipeline.tokenizer import Tokenizer
from train.parallel import World
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
    """The parts of a run, which belong together."""

    config: Config
    shards: Shards
    tokenizer: Tokenizer
    model: ModelConfig
    stream: Stream
    folder: str
    """``OUT/training``."""

    @property
    def pins(self) -> dict[str, object]:
        """What a checkpoint of this run must agree with."""
        train = configuration.resolved(self.config, "train")["train"]
        return {
            "model": asdict(self.model),
            "tokenizer_sha256": self.tokenizer.sha256,
            "shards_sha256": self.shards.manifest.sha256(),
            "train": {key: value for key, value in train.items() if key not in OPERATIONAL},
        }

    @property
    def fingerprint(self) -> str:
        """Hash of the pins."""
        return manifest.fingerprint(STAGE, self.pins, [])


def prepare(config: Config) -> Setup:
    """Open the shards and the tokenizer of a run and see that all fits.

    Raises :class:`pipeline.errors.MismatchError` for a tokenizer that the shards were not made with.
    """
    configuration.require(config, "output.path")
    shards = Shards.open(storage.join(config.output.path, "shards"), verify=False)
    tokenizer = Tokenizer.load(storage.join(config.output.path, "tokenizer"))
    check_tokenizer(shards, tokenizer)
    rows = {source: shards.rows("train", source) for source in shards.sources}
    stream = Stream(shards.manifest.sha256(), config.train.seed, rows, config.train.mixture)
    folder = storage.join(config.output.path, "training")
    return Setup(config, shards, tokenizer, _model(config, shards), stream, folder)


def verify_shards(setup: Setup, world: World) -> None:
    """Compare the hashes of all local shard files, shared among the processes of a host.

    Returns when all of them have found theirs sound. Copies of remote files are compared when fetched.
    """
    if storage.is_local(setup.shards.folder):
        for entry in setup.shards.manifest.files[world.local_rank :: world.local_size]:
            manifest.verify_file(setup.shards.folder, entry)
    world.wait()


def check_world(config: Config, world: World) -> None:
    """Refuse a batch that cannot be shared out evenly (:class:`ConfigError`)."""
    if config.train.batch_size % world.size:
        raise ConfigError(
            f"train.batch_size = {config.train.batch_size}: must be a multiple of the number of processes, "
            f"{world.size}; change it or --nproc-per-node"
        )


def claim(setup: Setup) -> bool:
    """Take the training folder for this run; whether the run is already complete.

    Raises :class:`pipeline.errors.OutputError` if it holds another run, unless ``output.overwrite`` is set.
    """
    overwrite = setup.config.output.overwrite
    return bool(manifest.begin(setup.folder, STAGE, setup.fingerprint, overwrite=overwrite, owned=OWNED))


def publish(setup: Setup) -> None:
    """Write the manifest of a complete run, with the last step's metrics."""
    path = storage.join(setup.folder, "metrics.jsonl")
    size, sha256 = storage.checksum(path)
    last = json.loads(storage.read_bytes(path).splitlines()[-1])
    steps, batch = setup.config.train.steps, setup.config.train.batch_size
    manifest.publish(
        setup.folder,
        manifest.Manifest(
            stage=STAGE,
            fingerprint=setup.fingerprint,
            config=configuration.resolved(setup.config, "model", "train"),
            inputs=[setup.shards.folder, storage.join(setup.config.output.path, "tokenizer")],
            counts={"steps": steps, "sequences": steps * batch, "parameters": setup.model.parameters},
            files=[FileEntry(path="metrics.jsonl", size=size, rows=steps, sha256=sha256)],
            facts={**setup.pins, "metrics": last},
        ),
    )


def precision(config: Config, device: torch.device) -> Literal["float32", "bfloat16"]:
    """The precision to compute in on a device."""
    if config.train.precision != "auto":
        return config.train.precision
    return "bfloat16" if device.type == "cuda" else "float32"


def _model(config: Config, shards: Shards) -> ModelConfig:
    section = config.model
    return ModelConfig(
        vocabulary_size=shards.facts.vocabulary_size,
        layers=section.layers,
        width=section.width,
        heads=section.heads,
        kv_heads=section.kv_heads,
        hidden=section.hidden or default_hidden(section.width),
        rope_theta=section.rope_theta,
        norm_epsilon=section.norm_epsilon,
        tied=section.tied,
    )
