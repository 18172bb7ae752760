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
from core.manifest import STARTED
from core.messages import first_line
from core.stage import Stage
from core.storage import locks
from pipeline import runs
from pipeline.runs import Attempt, Cluster, RunRecord, Step
from pipeline.runs.record import Outcome
from pipeline.spark.steps.metrics import StatusStore, optional_numbers
from pipeline.spark.steps.naming import active_context

_recording: ContextVar["Recording | None"] = ContextVar("recording", default=None)


class Recording:
    """The record of a stage that is running: earlier attempts, and this one."""

    def __init__(self, stage: Stage, context: SparkContext, input_bytes: int) -> None:
        self._stage = stage
        self._store = StatusStore(context)
        self._has_failed = False
        self._earlier = RunRecord(stage=stage.name, fingerprint=stage.fingerprint)
        self.attempt = Attempt(
            started=now(),
            versions={},
            cluster=Cluster(master=str(context.master), application="", executors=0, cores=0),
            input_bytes=input_bytes,
        )
        with self._guarded():
            self._earlier = runs.resume(stage.folder, stage.name, stage.fingerprint)
        with optional_numbers():
            self._change(versions=_versions(context))
            self._change(cluster=self._store.cluster())

    def begin(self) -> None:
        """Write that the attempt runs."""
        self._write()

    def add(self, step: Step) -> None:
        """Add a step and write the record; after an interrupt, :meth:`end` writes it, once."""
        self._change(steps=(*self.attempt.steps, step))
        if step.outcome == "finished":  # otherwise the JVM may have ended
            with optional_numbers():
                self._change(cluster=self._store.cluster())
        if step.outcome != "interrupted":
            self._write()

    def end(self, outcome: Outcome) -> None:
        """Write how the attempt ended. After an interrupt, storage that has failed is not tried again."""
        self._change(outcome=outcome, ended=now())
        if outcome != "interrupted" or not self._has_failed:
            self._write()

    def _change(self, **changes: object) -> None:
        self.attempt = self.attempt.model_copy(update=changes)

    def _write(self) -> None:
        """Write the record, unless another driver has taken over the folder."""
        record = RunRecord(
            stage=self._earlier.stage,
            fingerprint=self._earlier.fingerprint,
            attempts=(*self._earlier.attempts, self.attempt),
        )
        with self._guarded():
            locks.check(self._stage.folder)
            if self._is_claimed():
                runs.write(self._stage.folder, record)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let no exception out: the record is no part of the output, which may be complete."""
        try:
            yield
        except Exception as error:
            if not self._has_failed:
                print(f"warning: the run is not recorded: {first_line(error)}", file=sys.stderr)
            self._has_failed = True

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
