"""Definition of a training run, built and checked before anything is written."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from core import config as configuration
from core import manifest, storage
from core.config import Config, TrainConfig
from core.errors import ConfigError
from core.manifest import Manifest
from core.run_paths import data_folder, run_folder
from core.shards import Shards, check_tokenizer
from core.tokenizer import Tokenizer, load_published
from model.config import TransformerConfig
from model.transformer import Transformer
from train import samples
from train.architecture import model_config
from train.data.batch_sizes import BatchSizes
from train.data.dataset import PackedDataset, ShardDataset
from train.data.edits import Edit, check_files, resolve_edits
from train.data.stream import Stream
from train.identity import (
    PATH_KEYS,
    SCHEDULE_KEYS,
    completed,
    differences,
    identity_settings,
)
from train.initial_model import load_initial_model, loaded_weights
from train.parallel import World, seeded_initial_weight
from train.samples import Prompts

STAGE = "train"
SKIPPED_FOLDER = "skipped"
"""Folder of the records of skipped steps."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A pre-training or fine-tuning run."""

    stage: str
    """Name in the manifest, and of the configuration section."""
    folder: str
    """Folder of checkpoints, metrics and the manifest."""
    config: TrainConfig
    manifest_config: Mapping[str, Any]
    """Resolved configuration sections, recorded in the manifest."""
    inputs: list[str]
    model_config: TransformerConfig
    tokenizer: Tokenizer
    dataset: PackedDataset
    stream: Stream
    identity: dict[str, Any]
    """Facts that a checkpoint must share for the run to resume from it."""
    initial_weight: Callable[[str, torch.Size], Tensor]
    """Return the initial value of a parameter by name and shape, equal in all processes."""
    prompts: Prompts
    """What the model continues at each validation."""
    adapt: Callable[[Transformer], None] = lambda _: None
    """Replace or freeze layers of an uninitialized model."""
    copied_tokenizer: str = ""
    """Folder of the tokenizer, if it is not beside the run's folder, which then has a copy."""
    initial_checkpoint: tuple[str, Manifest] | None = None
    """Checkpoint of another run with which this one begins, optimizer state included."""

    @property
    def batch_sizes(self) -> BatchSizes:
        """Rows of each step."""
        return BatchSizes.of(self.config)

    @property
    def name(self) -> str:
        """Name of the run where several are shown together: those of the output folder and its own."""
        output, _, own = storage.absolute(self.folder).rpartition("/")
        return f"{storage.name(output)}-{own}"

    @property
    def fingerprint(self) -> str:
        """Hash of the identity and the edits of the order."""
        return manifest.fingerprint(self.stage, self._chosen, [edit.sha256 for edit in self.stream.edits])

    @property
    def attempt(self) -> str:
        """Hash of the identity: later edits may change when the run is resumed."""
        return manifest.fingerprint(f"{self.stage} attempt", self._chosen, [])

    @property
    def _defaults(self) -> dict[str, dict[str, Any]]:
        """Default settings by section of the identity."""
        shape = {each.name: each.default for each in fields(TransformerConfig) if each.default is not MISSING}
        return {"model": shape, self.stage: type(self.config)().model_dump(mode="json")}

    @property
    def _chosen(self) -> dict[str, Any]:
        """The identity without settings that are the defaults: hashes stay when a version adds settings."""
        chosen = dict(self.identity)
        for section, defaults in self._defaults.items():
            found = differences(self.identity[section], defaults)
            chosen[section] = {name: value for name, value, _ in found}
        return chosen

    def changes(self, facts: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        """Yield what of the identity differs from a record: name, value and recorded value.

        Settings that the record lacks, since an earlier version wrote it, had the effect of their defaults.
        """
        defaults = {section: each for section, each in self._defaults.items() if section in facts}
        return differences(self.identity, completed(facts, defaults))

    @property
    def checkpoints(self) -> str:
        """Folder of the checkpoints."""
        return storage.join(self.folder, "checkpoints")

    def facts(self, tokens_seen: Mapping[str, int]) -> dict[str, Any]:
        """Return what checkpoints and the manifest record; ``tokens_seen``: trained on so far, by source."""
        return {
            **self.identity,
            "sequence_length": self.dataset.sequence_length,
            "order_sha256": self.stream.sha256,
            "edits": [edit.record for edit in self.stream.edits],
            "tokens_seen": dict(tokens_seen),
        }


def validate(config: Config) -> None:
    """Raise an error for settings that pre-training would reject.

    The mixture and edits of files are checked on local shards. Documents are looked up when training starts,
    by one process.
    """
    configuration.require(config, "output.path")
    if config.train.init_from:
        storage.check_local(config.train.init_from)
    folder = storage.join(data_folder(config), "shards")
    if storage.is_local(folder) and storage.exists(storage.join(folder, manifest.NAME)):
        shards = open_shards(config)
        build_stream(ShardDataset(shards), config.train)
        check_files(config.train.edits, shards)


def open_shards(config: Config) -> Shards:
    """Open the shards of a run without verifying their hashes."""
    configuration.require(config, "output.path")
    folder = storage.join(data_folder(config), "shards")
    return Shards.open(folder, verify=False, cache_bytes=config.train.shard_cache)


def find_edits(config: Config, shards: Shards) -> tuple[Edit, ...]:
    """Look up ``[[train.edits]]`` in the shards; raises as :func:`train.data.edits.resolve_edits`."""
    return resolve_edits(config.train.edits, shards, data_folder(config), BatchSizes.of(config.train))


def prepare(config: Config, shards: Shards, edits: Sequence[Edit]) -> TrainingRun:
    """Define pre-training on ``shards``; ``edits``: from :func:`find_edits`.

    Raises :class:`core.errors.MismatchError` if the shards were made with another tokenizer, and as
    :func:`load_initial_model`.
    """
    tokenizer_folder = storage.join(data_folder(config), "tokenizer")
    tokenizer = load_published(tokenizer_folder)
    check_tokenizer(shards, tokenizer)
    dataset, facts = ShardDataset(shards), shards.facts
    start = load_initial_model(config, shards, tokenizer) if config.train.init_from else None
    architecture = (
        start.config if start else model_config(config, facts.vocabulary_size, facts.sequence_length)
    )
    initial_weight = seeded_initial_weight(architecture, config.train.seed)
    encode = partial(samples.prompt_ids, tokenizer)
    return TrainingRun(
        stage=STAGE,
        folder=run_folder(config),
        config=config.train,
        manifest_config=configuration.resolved(config, "model", "train"),
        inputs=[shards.folder, tokenizer_folder],
        model_config=architecture,
        tokenizer=tokenizer,
        dataset=dataset,
        stream=build_stream(
            dataset,
            config.train,
            edits,
            block=config.train.shuffle_block,
            window=config.train.shuffle_window,
        ),
        identity={
            "init_sha256": start.sha256 if start else None,
            "model": asdict(architecture),
            "tokenizer_sha256": tokenizer.sha256,
            "shards_sha256": dataset.sha256,
            "train": identity_settings(config.train, (*SCHEDULE_KEYS, *PATH_KEYS)),
        },
        initial_weight=loaded_weights(start.weights, initial_weight) if start else initial_weight,
        prompts=Prompts.of(STAGE, config.train, architecture, encode, frozenset({tokenizer.eos})),
        copied_tokenizer=tokenizer_folder if config.train.shards else "",
        initial_checkpoint=start.checkpoint if start else None,
    )


def build_stream(
    dataset: PackedDataset,
    config: TrainConfig,
    edits: Sequence[Edit] = (),
    *,
    block: int = 0,
    window: int = 1,
) -> Stream:
    """Return the order of the training rows; the last three arguments are those of :class:`Stream`."""
    num_rows = {source: dataset.num_rows("train", source) for source in dataset.sources}
    batch_sizes = BatchSizes.of(config)
    later = [
        (batch_sizes.first_position(phase.from_step), phase.mixture) for phase in config.mixture_schedule
    ]
    return Stream(
        dataset.sha256, config.seed, num_rows, config.mixture, later, edits, block=block, window=window
    )


def describe_order(run: TrainingRun) -> str:
    """Return lines with the hash of the order of the data, and its edits."""
    edits = (f"{run.stage}: from step {each.from_step} without {each.content}" for each in run.stream.edits)
    return "\n".join([f"{run.stage}: order {run.stream.sha256}", *edits])


def verify_shards(shards: Shards, world: World) -> None:
    """Verify the hashes of all local shard files, divided among the processes of a host.

    Returns after all processes have finished. Remote files are verified when they are fetched.
    """
    if storage.is_local(shards.folder):
        for entry in shards.manifest.files[world.local_rank :: world.local_size]:
            manifest.verify_file(shards.folder, entry)
    world.barrier()


def check_processes(section: str, config: TrainConfig, processes: int, option: str) -> None:
    """Raise :class:`ConfigError` unless batches and processes can be divided evenly as configured.

    ``option``: that of the command line by which the number of processes is chosen.
    """
    sizes = {f"{section}.batch_size": config.batch_size}
    for number, phase in enumerate(config.batch_size_schedule):
        sizes[f"{section}.batch_size_schedule[{number}].batch_size"] = phase.batch_size
    for key, size in sizes.items():
        if size % processes:
            raise ConfigError(
                f"{key} = {size}: must be a multiple of the number of processes, {processes}; change it or "
                f"{option}"
            )
    if config.shard_processes and processes % config.shard_processes:
        raise ConfigError(
            f"{section}.shard_processes = {config.shard_processes}: must divide the number of processes, "
            f"{processes}; change it or {option}, or set it to 0 for all of them"
        )


def resolve_precision(config: TrainConfig, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return the precision of computations on ``device``."""
    if config.precision != "auto":
        return config.precision
    return "bfloat16" if device.type == "cuda" else "float32"
