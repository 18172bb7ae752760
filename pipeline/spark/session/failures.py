"""Failures of Spark as one line: what a task or Spark itself reports, without Java's stack trace."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError  # type: ignore[import-untyped]  # has no types
from pyspark import SparkContext
from pyspark.errors.exceptions.captured import CapturedException

from core.errors import GristmillError, run
from pipeline.spark.session.builder import end_session

AGAIN = "run the command again, which goes on where it stopped"
REMEDY = f"remove the cause and {AGAIN}"
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"^(?! )([^\s:]+)(?:: (.*))?$", re.MULTILINE)
"""The line after the frames of a traceback, which are indented: the exception's class and its message."""
_OURS = "core.errors."
_OF_MACHINE = {"OSError", "MemoryError", "PermissionError", "FileNotFoundError", "ChildProcessError"}
"""Exceptions of Python for which the machine that ran the task is the reason."""
_LOST = "ExecutorLostFailure"
_WORKER_ENDED = "Python worker exited unexpectedly"
_NO_WORKER = re.compile(r"(?s)(EOFException|SocketException).*(PythonWorkerFactory|pyspark\.daemon)")
"""In messages, some with a stack trace, about a worker or its daemon that ended before it was connected."""
_WORKER_SAID = re.compile(r"Error from python worker:\s+(\S[^\n]*)")
"""What a worker's daemon that did not start has printed, such as a missing module."""
_NO_STORAGE = {
    "EOFException",
    "InvalidClassException",
    "NotSerializableException",
    "StreamCorruptedException",
}
"""Java's I/O errors that say nothing about storage."""


def run_job(main: Callable[[Sequence[str]], None]) -> None:
    """Run the ``main(arguments)`` of a job as :func:`core.errors.run` does, and stop its session."""

    def translated(arguments: Sequence[str]) -> None:
        with spark_failures():
            main(arguments)

    run(translated, end_session)


@contextmanager
def spark_failures() -> Iterator[None]:
    """Raise a :class:`GristmillError` for failures of storage, machines and executors that Spark reports.

    Other errors of Spark are raised as they are: they are faults of a program, and need their stack trace.
    Spark passes errors of tasks on as text, so that text is all by which they can be recognized.
    """
    try:
        yield
    except (Py4JJavaError, CapturedException) as error:
        if line := _cause(_chain(error)):
            raise GristmillError(line) from None
        raise
    except (Py4JError, ConnectionRefusedError, ConnectionResetError):
        if _java_runs():
            raise
        raise GristmillError(
            "Spark's Java process on the driver has ended; see its messages above, give it more memory with "
            f"--driver-memory if it lacked any, and {AGAIN}"
        ) from None


def _chain(error: Any) -> list[tuple[str, str, bool]]:
    """Return class, message and kind (True for I/O) of a Java exception and its causes."""
    exception = error.java_exception if isinstance(error, Py4JJavaError) else error._origin
    jvm: Any = SparkContext._jvm
    chain: list[tuple[str, str, bool]] = []
    with suppress(Py4JError, OSError, AttributeError):  # the Java process may end, or have ended
        io_errors = jvm.java.lang.Class.forName("java.io.IOException")
        while exception is not None:
            name = exception.getClass().getSimpleName()
            chain.append((name, exception.getMessage() or "", bool(io_errors.isInstance(exception))))
            exception = exception.getCause()
    return chain


def _cause(chain: Sequence[tuple[str, str, bool]]) -> str | None:
    """Return what failed and the remedy, in one line; None for what a program did wrong."""
    for _, message, _ in reversed(chain):
        if _TRACEBACK in message:
            return _python_cause(message.rpartition(_TRACEBACK)[2])
    for _, message, _ in chain:
        if said := _WORKER_SAID.search(message):
            return f"a Python worker did not start: {said[1].strip()}; {REMEDY}"
    if any(_WORKER_ENDED in message or _NO_WORKER.search(message) for _, message, _ in chain):
        return f"{_WORKER_ENDED}, perhaps for lack of memory; raise spark.executor.memoryOverhead and {AGAIN}"
    for name, message, is_io in reversed(chain):
        if is_io and name not in _NO_STORAGE:
            return f"{name}: {_first_line(message)}; {REMEDY}"
    lost = next((message for _, message, _ in chain if _LOST in message), None)
    return lost and f"{_first_line(lost)}; {REMEDY}"


def _python_cause(traceback: str) -> str | None:
    """Return the message of the exception that ends a task's traceback, if it is no fault of a program."""
    raised = _RAISED.search(traceback)
    if raised is None:
        return None
    name, message = raised[1], raised[2] or "no message"
    if name.startswith(_OURS):
        return f"{message}, and {AGAIN}"
    return f"{name}: {message}; {REMEDY}" if name.rpartition(".")[2] in _OF_MACHINE else None


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "no message")


def _java_runs() -> bool:
    """True if Spark's Java process answers."""
    jvm: Any = SparkContext._jvm
    try:
        return jvm is None or jvm.java.lang.System.nanoTime() is not None
    except (Py4JNetworkError, ConnectionError):
        return False
