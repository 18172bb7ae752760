"""The folder of a training run: claimed before the first step, continued, and published after the last."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from core import manifest, storage
from core.errors import ConfigError, OutputError
from core.stage import REMEDY, Stage
from core.storage import locks
from core.tokenizer import copy_published
from model.formats.checkpoint import find_latest
from train.data.edits import check_resumed
from train.identity import NOT_RECORDED, SCHEDULE_KEYS
from train.parallel import World
from train.training_run import SKIPPED_FOLDER, TrainingRun

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
                f"with train.init_from in another run, or {REMEDY}"
            )
        changed = f"{name} = {value}: was {recorded}"
        if name.endswith("sha256"):
            changed = f"{SOURCES.get(name, name)}: changed"
        raise OutputError(
            f"{changed} in the run in {run.folder}, and cannot change on the way; set it back, or {REMEDY}"
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
            f"it, or {REMEDY}"
        )
    for key in SCHEDULE_KEYS:
        recorded, value = record.config.get(section, {}).get(key), getattr(run.config, key)
        if steps == step and recorded not in (None, value):
            raise ConfigError(
                f"{section}.{key} = {value}: the run in {run.folder} is complete with {recorded}; set "
                f"{section}.steps to more than {steps} to continue it, or {REMEDY}"
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
