"""The driver's log file: what the job prints, Spark's warnings and the progress, with times."""

import io
import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from pyspark import SparkContext

from core import storage
from core.errors import OutputError

SETTING = "spark.gristmill.logFile"
"""Spark setting with the absolute path of the file."""
PATTERN = "%d{yyyy-MM-dd HH:mm:ss} %p %c{1}: %m%n%ex"
"""Layout of Spark's messages in the file."""

_failed: set[str] = set()
"""Files that could no longer be written, of which a warning has told."""


def open_log(path: str) -> str:
    """Create the file and the folder that it is in; return its absolute path.

    From now on, what this process prints is also written to the file. Raises :class:`OutputError` if the file
    cannot be written.
    """
    absolute = storage.absolute(path.removeprefix("file://"))
    try:
        Path(absolute).parent.mkdir(parents=True, exist_ok=True)
        Path(absolute).open("a").close()
    except OSError as error:
        raise OutputError(
            f"output.log_file = {path}: {error.strerror}; name a file that can be written"
        ) from None
    close_log()
    _failed.discard(absolute)
    for name in ("stdout", "stderr"):
        setattr(sys, name, Tee(getattr(sys, name), absolute))
    return absolute


def close_log() -> None:
    """Restore the standard streams, if a log file has replaced them."""
    sys.stdout, sys.stderr = _original(sys.stdout), _original(sys.stderr)


def _original(stream: TextIO) -> TextIO:
    """Return the stream itself, without the log files to which it is also written."""
    while isinstance(stream, Tee):
        stream = stream.stream
    return stream


def add_spark_messages(jvm: Any, path: str) -> None:
    """Make log4j write Spark's messages of the driver to the file as well."""
    log4j = jvm.org.apache.logging.log4j.core
    context = jvm.org.apache.logging.log4j.LogManager.getContext(False)
    configuration = context.getConfiguration()
    layout = log4j.layout.PatternLayout.newBuilder().withPattern(PATTERN).build()
    name = f"gristmill:{path}"
    if configuration.getAppender(name) is not None:
        return
    builder = log4j.appender.FileAppender.newBuilder()
    appender = builder.setName(name).setLayout(layout).withFileName(path).withAppend(True).build()
    appender.start()
    configuration.addAppender(appender)
    configuration.getRootLogger().addAppender(appender, None, None)
    context.updateLoggers()


def configured(context: SparkContext) -> str:
    """Return the path of the log file of a session; empty if there is none."""
    return context.getConf().get(SETTING) or ""


def stamped(line: str) -> str:
    """Return a line with the local time before it."""
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {line}"


def append(path: str, line: str) -> None:
    """Append a line with the time to the file; does nothing without a path.

    If the file can no longer be written, as on a full disk, a warning says so once, and logging ends: what
    prints the line must not fail.
    """
    if not path or path in _failed:
        return
    try:
        _append(path, f"{stamped(line)}\n".encode(errors="backslashreplace"))
    except OSError as error:
        _failed.add(path)
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed
            print(
                f"warning: output.log_file = {path}: {error.strerror}; nothing more is logged",
                file=_original(sys.stderr),
            )


def _append(path: str, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, data)  # one call, so that lines of several writers do not mix
    finally:
        os.close(file)


class Tee(io.TextIOBase):
    """A standard stream that also appends each complete line to a file."""

    def __init__(self, stream: TextIO, path: str) -> None:
        super().__init__()
        self.stream = stream
        self._path, self._line = path, ""

    def write(self, text: str) -> int:
        """Write the text, and its complete lines to the file."""
        self.stream.write(text)
        *lines, self._line = f"{self._line}{text}".split("\n")
        for line in lines:
            append(self._path, line)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self.stream.flush()

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return self.stream.fileno()

    def isatty(self) -> bool:
        """True if the stream is a terminal."""
        return self.stream.isatty()

    def writable(self) -> bool:
        """Return True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a property instead of an attribute
        """Encoding of the stream."""
        return self.stream.encoding
