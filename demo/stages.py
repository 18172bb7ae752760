"""Stages of the demonstration: the commands that a user would type, run one after the other."""

import ctypes
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.errors import GristmillError
from core.messages import duration

CONFIG = "configs/demo.toml"
PR_SET_PDEATHSIG = 1
"""Option of Linux' ``prctl(2)``: the signal sent to a process when its parent dies."""


class StageError(GristmillError):
    """A stage failed, and has printed its own error."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One command of the demonstration."""

    title: str
    command: str
    product: str | None
    """File below the run's folder that the stage writes last; None if it only prints something."""


STAGES = (
    Stage(
        "Clean: extract, identify, filter, mask, deduplicate",
        f"spark-submit jobs/clean.py --config {CONFIG}",
        "manifest.json",
    ),
    Stage(
        "Train a tokenizer on the documents",
        f"spark-submit jobs/train_tokenizer.py --config {CONFIG}",
        "tokenizer/manifest.json",
    ),
    Stage(
        "Pack the documents into shards of token sequences",
        f"spark-submit jobs/pack.py --config {CONFIG}",
        "shards/manifest.json",
    ),
    Stage(
        "Train a model on two processes",
        f"torchrun --standalone --nproc-per-node=2 -m train --config {CONFIG}",
        "training/manifest.json",
    ),
    Stage(
        "Validate the model beside a unigram model",
        f"python -m train.validate --config {CONFIG}",
        "training/validation.json",
    ),
    Stage(
        "Write the report",
        f"spark-submit jobs/report.py --config {CONFIG}",
        "report.html",
    ),
    Stage(
        "Let the model continue a prompt",
        f"python -m train.sample --config {CONFIG} --prompt 'The history of'",
        None,
    ),
)


def run(stage: Stage, folder: Path, environment: Mapping[str, str], number: int) -> float:
    """Run one stage and return its duration in seconds. Raises :class:`StageError` if it fails."""
    print(f"\n[{number}/{len(STAGES)}] {stage.title}\n$ {stage.command}", flush=True)
    before = _version(folder, stage.product)
    began = time.monotonic()
    status = execute(stage.command, environment)
    seconds = time.monotonic() - began
    if status:
        raise StageError(
            f"stage {number} ended with exit code {status}, its own message is above; "
            "correct that and run the same command to resume from here, or make clean-demo to start over"
        )
    idle = before is not None and before == _version(folder, stage.product)
    print(f"  {'nothing to do, it was already done' if idle else 'done'} ({duration(seconds)})", flush=True)
    return seconds


def execute(command: str, environment: Mapping[str, str]) -> int:
    """Run a command in the foreground with the programs of this environment; return its exit code."""
    words = shlex.split(command)
    program = Path(sys.executable).with_name(words[0])
    process = subprocess.Popen(
        [str(program), *words[1:]],
        env=dict(environment),
        close_fds=False,  # children inherit the lock of the output folder
        preexec_fn=_end_with_parent,
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal has sent it the same signal
        raise


def _end_with_parent() -> None:
    """In the child: have Linux terminate it when the parent is killed, so that no orphan keeps running."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _version(folder: Path, product: str | None) -> int | None:
    """Return the product's modification time in nanoseconds, or None if it does not exist."""
    path = folder / product if product else None
    return path.stat().st_mtime_ns if path and path.exists() else None
