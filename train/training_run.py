"""Definition of a training run, built and checked before anything is written."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from core import config as configuration
from core import manifest, storage
from core.config import Config, TrainConfig
from core.errors import ConfigError, OutputError
from core.manifest import Manifest, Stage
from core.run_paths import data_folder, run_folder
from core.shards import Shards, check_tokenizer
from core.storage import locks
from core.tokenizer import Tokenizer, copy_published, load_published
from model.config import TransformerConfig
from model.formats.checkpoint import find_latest
from model.transformer import Transformer
from train import samples
from train.architecture import model_config
from train.data.batch_sizes import BatchSizes
from train.data.dataset import PackedDataset, ShardDataset
from train.data.edits import Edit, check_files, check_resumed, resolve_edits
from train.data.stream import Stream
from train.identity import (
    NOT_RECORDED,
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
OUTPUTS = (
    "checkpoints",
    "metrics.jsonl",
    "profile",
    "samples.jsonl",
    SKIPPED_FOLDER,
    "summary.json",
    "tensorboard",
    "tokenizer",
    "training.html",
    "validation.json",
)
"""Entries of the run's folder that belong to training, apart from the manifest."""
SOURCES = {"init_sha256": "the model train.init_from (name one of its checkpoints, which stays the same)"}
"""Hashes in a run's identity, by what the configuration calls their sources."""


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


@contextmanager
def claim(run: TrainingRun, overwrite: bool, world: World) -> Iterator[bool]:
    """Hold the run's folder during the block, by rank 0; yield True if the run is already complete.

    Raises as :func:`begin`.
    """
    with ExitStack() as held:
        yield world.broadcast_from_rank_zero(lambda: begin(run, overwrite, held))


def begin(run: TrainingRun, overwrite: bool, held: ExitStack) -> bool:
    """Claim the run's folder until ``held`` is closed; return True if the run is already complete.

    A complete run that is to have more steps is continued. Raises :class:`core.errors.OutputError` if the
    folder holds another run or another trainer is at work in it, and :class:`ConfigError` for fewer steps
    than were taken, and if the latest checkpoint was trained with other edits. With ``overwrite``, any other
    content is replaced.
    """
    stage = _stage(run, overwrite)
    if _can_continue(run, overwrite) and not _has_more_steps(run) and stage.published() and stage.finished():
        return True
    held.enter_context(locks.held(run.folder, run.stage))
    if not _can_continue(run, overwrite):  # another trainer may have changed the folder meanwhile
        stage.clear()
    elif _has_more_steps(run):
        stage.reopen()
    if stage.begin():
        return True
    if run.copied_tokenizer:
        copy_published(run.copied_tokenizer, storage.join(run.folder, "tokenizer"))
    return False


def _can_continue(run: TrainingRun, overwrite: bool) -> bool:
    """True if ``run`` can continue what its folder holds; raises as :func:`check_continued` if it must."""
    try:
        check_continued(run)
    except (ConfigError, OutputError):
        if not overwrite:
            raise
        return False
    return True


def _has_more_steps(run: TrainingRun) -> bool:
    """True if the folder holds a complete run of fewer steps."""
    published = _stage(run).published()
    return published is not None and published.counts["steps"] < run.config.steps


def check_continued(run: TrainingRun) -> None:
    """Raise an error unless ``run`` can continue what its folder holds, if that is a run with a checkpoint.

    Raises as :func:`begin`.
    """
    published, checkpoint = _stage(run).published(), find_latest(run.checkpoints)
    record = published or (checkpoint and checkpoint[1])
    if not record:
        return
    section, steps = run.stage, run.config.steps
    for name, value, recorded in run.changes(record.facts):
        if recorded is NOT_RECORDED and not name.endswith("sha256"):
            raise OutputError(
                f"{name}: not recorded in the run in {run.folder}, which an earlier version has begun; go on "
                f"with train.init_from in another run, or {manifest.REMEDY}"
            )
        changed = f"{name} = {value}: was {recorded}"
        if name.endswith("sha256"):
            changed = f"{SOURCES.get(name, name)}: changed"
        raise OutputError(
            f"{changed} in the run in {run.folder}, and cannot change on the way; set it back, or "
            f"{manifest.REMEDY}"
        )
    step = record.counts["steps" if published else "step"]
    check_resumed(record.facts.get("edits", ()), run.stream.edits, step)
    if steps < step:
        raise ConfigError(
            f"{section}.steps = {steps}: the run in {run.folder} has taken {step} steps; set at least {step}"
        )
    if steps > step and not checkpoint:
        raise OutputError(
            f"{run.checkpoints}: the checkpoint of step {step}, from which to continue, is missing; restore "
            f"it, or {manifest.REMEDY}"
        )
    for key in SCHEDULE_KEYS:
        recorded, value = record.config.get(section, {}).get(key), getattr(run.config, key)
        if steps == step and recorded not in (None, value):
            raise ConfigError(
                f"{section}.{key} = {value}: the run in {run.folder} is complete with {recorded}; set "
                f"{section}.steps to more than {steps} to continue it, or {manifest.REMEDY}"
            )


def publish(run: TrainingRun, tokens_seen: Mapping[str, int], **counts: int) -> None:
    """Write the manifest of a complete run, with the tokens seen by source and the last step's metrics."""
    lines = storage.read_bytes(storage.join(run.folder, "metrics.jsonl")).splitlines()
    steps, parameters = run.config.steps, run.model_config.num_parameters
    rows = run.batch_sizes.first_position(steps + 1)
    _stage(run).publish(
        {"steps": steps, "sequences": rows, "parameters": parameters, **counts},
        [manifest.file_entry(run.folder, "metrics.jsonl", rows=steps)],
        {**run.facts(tokens_seen), "metrics": json.loads(lines[-1])},
    )


def resolve_precision(config: TrainConfig, device: torch.device) -> Literal["float32", "bfloat16"]:
    """Return the precision of computations on ``device``."""
    if config.precision != "auto":
        return config.precision
    return "bfloat16" if device.type == "cuda" else "float32"


def _stage(run: TrainingRun, overwrite: bool = False) -> Stage:
    return Stage(
        run.stage,
        run.folder,
        run.fingerprint,
        run.manifest_config,
        run.inputs,
        owned=OUTPUTS,
        attempt=run.attempt,
        overwrite=overwrite,
        done_message=f"{run.stage}: already done (step {run.config.steps})",
    )
