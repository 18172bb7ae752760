"""Write ``run.json`` while a stage runs."""

import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import pyarrow as pa
from pyspark import SparkContext

from core import storage
from core.errors import GristmillError
from core.manifest import STARTED, Stage
from pipeline import runs
from pipeline.runs import Attempt, RunRecord, Step
from pipeline.runs.record import Outcome
from pipeline.spark.steps.metrics import StatusStore
from pipeline.spark.steps.naming import active_context

_recording: ContextVar["Recording | None"] = ContextVar("recording", default=None)


class Recording:
    """The record of a stage that is running: earlier attempts, and this one."""

    def __init__(self, stage: Stage, context: SparkContext, input_bytes: int) -> None:
        self._stage = stage
        self._earlier = runs.resume(stage.folder, stage.name, stage.fingerprint)
        self._context, self._store = context, StatusStore(context)
        self._complains = True
        self.attempt = Attempt(
            started=now(),
            versions=_versions(context),
            cluster=self._store.cluster(context),
            input_bytes=input_bytes,
        )

    def begin(self) -> None:
        """Write that the attempt runs."""
        self._update()

    def add(self, step: Step) -> None:
        """Add a step and write the record."""
        changes: dict[str, object] = {"steps": (*self.attempt.steps, step)}
        if step.outcome == "finished":  # otherwise the JVM may have ended
            changes["cluster"] = self._store.cluster(self._context)
        self._update(**changes)

    def end(self, outcome: Outcome) -> None:
        """Write how the attempt ended."""
        self._update(outcome=outcome, ended=now())

    def _update(self, **changes: object) -> None:
        self.attempt = self.attempt.model_copy(update=changes)
        record = RunRecord(
            stage=self._earlier.stage,
            fingerprint=self._earlier.fingerprint,
            attempts=(*self._earlier.attempts, self.attempt),
        )
        try:
            if self._is_claimed():
                runs.write(self._stage.folder, record)
        except GristmillError as error:  # the record is no part of the output, which may be complete
            if self._complains:
                print(f"warning: the run is not recorded: {error}", file=sys.stderr)
            self._complains = False

    def _is_claimed(self) -> bool:
        """True if the folder is this stage's: it runs there, or has just published its output."""
        if storage.exists(storage.join(self._stage.folder, STARTED)):
            return True
        made = self._stage.published()
        return made is not None and made.fingerprint == self._stage.fingerprint


def active() -> Recording | None:
    """Return the record of the stage that is running, if it is recorded."""
    return _recording.get()


@contextmanager
def recorded(stage: Stage, input_bytes: int = 0) -> Iterator[None]:
    """Record the steps of the block in the stage's folder, once :meth:`Stage.begin` has claimed it.

    An attempt that resumes an interrupted one is added to its record. ``input_bytes``: size of the raw input.
    """
    context = active_context()
    if context is None:
        yield
        return
    recording = Recording(stage, context, input_bytes)
    recording.begin()
    token = _recording.set(recording)
    outcome: Outcome = "failed"
    try:
        yield
        outcome = "finished"
    except KeyboardInterrupt:
        outcome = "interrupted"
        raise
    finally:
        _recording.reset(token)
        recording.end(outcome)


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions(context: SparkContext) -> dict[str, str]:
    jvm = context._jvm
    assert jvm is not None
    try:
        own = version("gristmill")
    except PackageNotFoundError:  # run from its folder, without installation
        own = "unknown"
    return {
        "Gristmill": own,
        "Python": platform.python_version(),
        "Spark": context.version,
        "Java": jvm.java.lang.System.getProperty("java.version"),
        "pyarrow": pa.__version__,
    }


class Stopwatch:
    """Start of a step, for its record."""

    def __init__(self) -> None:
        self.started = now()
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._begun
