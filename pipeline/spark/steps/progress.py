"""Progress of a step: one line, drawn in place on a terminal, printed from time to time in a log.

It replaces Spark's own bar, which shows stage numbers instead of names and leaves fragments in log files. The
line goes to the JVM's standard error, since ``spark-submit`` connects the Python program's with a pipe.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # has no types
from pyspark import SparkContext
from pyspark.sql import SparkSession

from core.messages import counted, duration
from pipeline.spark.session import log_file
from pipeline.spark.steps.metrics import StatusStore, optional_numbers

SECONDS = "spark.gristmill.progressSeconds"
"""Spark setting with the interval of printed lines, which the session builder sets."""
SHORT = 2.0
"""Seconds of a step before anything is shown of it."""
REDRAW = 1.0
"""Seconds between two drawings on a terminal."""
SHARE_OF_TIME = 20
"""A reading of the store may take a twentieth of the time; then the next one waits for longer."""
ERASE = "\r\x1b[K"
"""Moves to the start of the terminal's line and clears it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a step at one moment."""

    title: str
    seconds: float
    """Since the step began."""
    tasks: int = 0
    """Tasks of the stages that are running; 0 while the driver works alone."""
    done: int = 0
    running: int = 0
    failed: int = 0
    stage_seconds: float = 0
    """Since the first of these tasks started."""
    rows: int = 0
    """Rows that the query's largest operator has produced; 0 if unknown."""
    query_seconds: float = 0

    def line(self) -> str:
        """Return the progress line."""
        if not self.tasks:
            return f"{self.title}: in the driver, {duration(self.seconds)}"
        parts = [f"{self.done:,} of {counted(self.tasks, 'task')}", f"{self.running:,} running"]
        if self.failed:
            parts.append(f"{counted(self.failed, 'attempt')} failed")
        if self.rows:
            parts.append(counted(self.rows, "row"))
            if self.query_seconds >= 1:
                parts.append(f"{show_rate(self.rows / self.query_seconds)} rows/s")
        if 0 < self.done < self.tasks:
            left = self.stage_seconds * (self.tasks - self.done) / self.done
            parts.append(f"about {duration(left)} left")
        return f"{self.title}: {', '.join(parts)}"


def show_rate(rate: float) -> str:
    """Format a rate, with a decimal if it is small: ``5,100``, ``1.4``."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def snapshot(
    title: str, seconds: float, stages: Sequence[dict[str, Any]], query: tuple[int, float]
) -> Progress:
    """Return the progress of the stages that run, as Spark's REST API describes them, and of their query.

    ``query``: rows and age in seconds.
    """
    if not stages:
        return Progress(title, seconds)
    names = {stage["name"] for stage in stages}
    return Progress(
        title=names.pop() if len(names) == 1 else title,
        seconds=seconds,
        tasks=sum(stage["numTasks"] for stage in stages),
        done=sum(stage["numCompletedIndices"] for stage in stages),
        running=sum(stage["numActiveTasks"] for stage in stages),
        failed=sum(stage["numFailedTasks"] for stage in stages),
        stage_seconds=max(map(_age, stages)),
        rows=query[0],
        query_seconds=query[1],
    )


def _age(stage: dict[str, Any]) -> float:
    """Return the seconds since a stage's first task started."""
    if not (launched := stage.get("firstTaskLaunchedTime")):
        return 0.0
    started = datetime.strptime(launched, "%Y-%m-%dT%H:%M:%S.%fGMT").replace(tzinfo=UTC)
    return (datetime.now(UTC) - started).total_seconds()


@contextmanager
def progress(context: SparkContext, store: StatusStore, title: str) -> Iterator[None]:
    """Show the progress of the block, unless it is short or progress is switched off."""
    interval = float(context.getConf().get(SECONDS) or 0)
    if not interval:
        yield
        return
    shown = _Display(context, store, title, interval)
    shown.start()
    try:
        yield
    finally:
        shown.stop()


class _Display(threading.Thread):
    """Thread that draws or prints the line until the step ends."""

    def __init__(self, context: SparkContext, store: StatusStore, title: str, interval: float) -> None:
        super().__init__(name="progress", daemon=True)
        jvm: Any = context._jvm
        self._error = standard_error(jvm)
        self._store, self._title, self._interval = store, title, interval
        self._session: Any = SparkSession._instantiatedSession
        self._log = log_file.configured(context)
        self._columns = terminal_columns(jvm)
        self._begun = time.monotonic()
        self._stopped = threading.Event()
        self._drawn = False

    def run(self) -> None:
        """Show the line from time to time, until it cannot be read, as when the session ends."""
        with optional_numbers():
            self._show()

    def _show(self) -> None:
        due, usual, took = self._interval, REDRAW if self._columns else self._interval, 0.0
        while not self._stopped.wait(max(usual, SHARE_OF_TIME * took)):
            seconds = time.monotonic() - self._begun
            if seconds < SHORT:
                continue
            line = self._line(seconds)
            took = time.monotonic() - self._begun - seconds
            if self._stopped.is_set():
                return
            if self._columns:
                self._draw(line)
            else:
                self._error.println(log_file.stamped(line))
            if seconds >= due:
                due += self._interval
                log_file.append(self._log, line)

    def stop(self) -> None:
        """End the thread and erase the line."""
        self._stopped.set()
        self.join(timeout=5)
        if self._drawn:
            with suppress(Py4JError, OSError):
                self._error.print(ERASE)

    def _line(self, seconds: float) -> str:
        stages = self._store.active_stages()
        query = self._store.running_query(self._session._jsparkSession) if self._session and stages else None
        return snapshot(self._title, seconds, stages, query or (0, 0.0)).line()

    def _draw(self, line: str) -> None:
        """Draw the line and return to its start, so that the next message overwrites it."""
        if len(line) >= self._columns:
            line = f"{line[: self._columns - 2]}…"
        self._error.print(f"{ERASE}{line}\r")
        self._drawn = True


def standard_error(jvm: Any) -> Any:
    """Return the JVM's standard error in Python's encoding. Java's is ASCII where no locale is set."""
    io = jvm.java.io
    return io.PrintStream(io.FileOutputStream(io.FileDescriptor.err), True, sys.stderr.encoding or "utf-8")


def terminal_columns(jvm: Any) -> int:
    """Return the width of the terminal that shows the JVM's standard error; 0 if it goes elsewhere."""
    opened = f"/proc/{jvm.java.lang.ProcessHandle.current().pid()}/fd/2"
    try:
        terminal = os.open(opened, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:  # no /proc, or a pipe that nobody reads
        return shutil.get_terminal_size().columns if _may_be_terminal(jvm) else 0
    try:
        return os.get_terminal_size(terminal).columns or 80
    except OSError:
        return 0
    finally:
        os.close(terminal)


def _may_be_terminal(jvm: Any) -> bool:
    """Guess where there is no /proc: Java has a console if its input and output are terminals."""
    return not os.path.isdir("/proc/self") and (  # noqa: PTH112 (an existence check of a fixed name)
        sys.stderr.isatty() or jvm.java.lang.System.console() is not None
    )
