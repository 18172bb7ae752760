"""Failures of Spark as one line: what a task or Spark itself reports, without Java's stack trace."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from py4j.protocol import Py4JJavaError, Py4JNetworkError  # type: ignore[import-untyped]  # has no types
from pyspark import SparkContext
from pyspark.errors.exceptions.captured import CapturedException

from core.errors import GristmillError, run
from pipeline.spark.session.builder import end_session

REMEDY = "remove the cause and run the command again, which goes on where it stopped"
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$", re.MULTILINE)
"""The last line of a traceback: the exception's class and its message."""
_OURS = "core.errors."
_OF_MACHINE = {"OSError", "MemoryError", "PermissionError", "FileNotFoundError", "ChildProcessError"}
"""Exceptions of Python for which the machine that ran the task is the reason."""
_LOST = "ExecutorLostFailure"


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
    """
    try:
        yield
    except (Py4JJavaError, CapturedException) as error:
        if cause := _cause(_chain(error)):
            raise GristmillError(f"{cause}; {REMEDY}") from None
        raise
    except (Py4JNetworkError, ConnectionRefusedError, ConnectionResetError):
        if _java_runs():
            raise
        raise GristmillError(
            "Spark's Java process on the driver has ended; see its messages above, give it more memory with "
            "--driver-memory if it lacked any, and run the command again, which goes on where it stopped"
        ) from None


def _chain(error: Any) -> list[tuple[str, str, bool]]:
    """Return class, message and kind (True for I/O) of a Java exception and its causes."""
    exception = error.java_exception if isinstance(error, Py4JJavaError) else error._origin
    jvm: Any = SparkContext._jvm
    io_errors = jvm.java.lang.Class.forName("java.io.IOException")
    chain = []
    while exception is not None:
        name = exception.getClass().getSimpleName()
        chain.append((name, exception.getMessage() or "", bool(io_errors.isInstance(exception))))
        exception = exception.getCause()
    return chain


def _cause(chain: Sequence[tuple[str, str, bool]]) -> str | None:
    """Return what failed, in one line; None for what a program did wrong."""
    for _, message, _ in reversed(chain):
        if _TRACEBACK in message:
            return _python_cause(message.rpartition(_TRACEBACK)[2])
    for name, message, is_io in reversed(chain):
        if is_io:
            return f"{name}: {_first_line(message)}"
    lost = next((message for _, message, _ in chain if _LOST in message), None)
    return lost and _first_line(lost)


def _python_cause(traceback: str) -> str | None:
    """Return the message of the exception that ends a task's traceback, if it is no fault of a program."""
    name, message = _RAISED.findall(traceback)[-1]
    if name.startswith(_OURS):
        return str(message).rpartition("; ")[0] or str(message)
    return f"{name}: {message}" if name.rpartition(".")[2] in _OF_MACHINE else None


def _first_line(message: str) -> str:
    return next(iter(message.strip().splitlines()), "no message")


def _java_runs() -> bool:
    """True if Spark's Java process answers."""
    try:
        jvm: Any = SparkContext._jvm
        jvm.java.lang.System.nanoTime()
    except (Py4JNetworkError, ConnectionError):
        return False
    return True
