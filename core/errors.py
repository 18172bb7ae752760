"""The exceptions that Gristmill raises, and how a command line reports them.

::

    GristmillError
    ├── ConfigError      a key or value that the configuration does not allow
    ├── InputError       an input that is missing or has the wrong content
    │   └── MissingFileError    a path with nothing at it
    ├── UnavailableError storage that fails, cannot be reached or denies access
    ├── OutputError      an output folder with other content
    ├── ManifestError    a stage that is unfinished, altered or of another schema version
    ├── MismatchError    parts that do not belong together, such as a tokenizer and another run's shards
    ├── TrainingError    a training run that cannot continue, such as after a loss that is not finite
    └── ModelError       a model or a request that is not supported

Every message is one line with the value, the rule that it breaks and the remedy.
"""

import errno
import io
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from core.messages import USER_INFORMATION

MACHINE_FAILURES = {
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner and permissions",
    errno.EROFS: "choose a path on a writable disk",
    errno.ENOSPC: "free space and run the command again",
    errno.EDQUOT: "free space and run the command again",
    errno.ENOMEM: "free memory, or run the command with less of it",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "remove the loop of symbolic links",
    errno.EIO: "check the disk",
}
"""Errors of the operating system that are no faults of a program, with their remedies."""


_USER_INFORMATION = re.compile(USER_INFORMATION)


class GristmillError(Exception):
    """Base class of all exceptions that Gristmill defines."""


class ConfigError(GristmillError):
    """A key or value that the configuration does not allow."""


class InputError(GristmillError):
    """An input that is missing or has the wrong content."""


class MissingFileError(InputError):
    """A path with nothing at it."""


class UnavailableError(GristmillError):
    """Storage that fails, cannot be reached or denies access.

    Nothing is known of what is stored there, so this is no :class:`InputError`: whoever skips a bad input or
    takes a missing file for an empty one must not catch it.
    """


class OutputError(GristmillError):
    """An output folder with other content."""


class ManifestError(GristmillError):
    """The output of a stage that is unfinished, altered or of another schema version."""


class MismatchError(GristmillError):
    """Parts that do not belong together."""


class TrainingError(GristmillError):
    """A training run that cannot continue."""


class ModelError(GristmillError):
    """A model or a request that is not supported."""


def run(main: Callable[[Sequence[str]], None], on_error: Callable[[], None] = lambda: None) -> None:
    """Run the ``main(arguments)`` of a program; report a :class:`GristmillError` in one line, exit code 1.

    Failures of the machine, such as a full disk, are reported likewise; an interrupt exits with 130, as in a
    shell. ``on_error`` is called before any exception is reported, so that a job can end the line of a
    progress bar.
    """
    with exit_on_closed_pipe(on_error):
        try:
            with machine_failures():
                try:
                    main(sys.argv[1:])
                finally:
                    sys.stdout.flush()
        except GristmillError as error:
            on_error()
            print(f"error: {hide_credentials(str(error))}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            on_error()
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        except BrokenPipeError:
            raise
        except Exception:
            on_error()
            raise


def hide_credentials(text: str) -> str:
    """Return ``text`` without user information in addresses: ``https://…@host/x``."""
    return _USER_INFORMATION.sub("://…@", text)


@contextmanager
def machine_failures() -> Iterator[None]:
    """Raise a :class:`GristmillError` with cause and remedy for each failure in :data:`MACHINE_FAILURES`."""
    try:
        yield
    except OSError as error:
        if error.errno not in MACHINE_FAILURES:
            raise
        path = f"{error.filename}: " if error.filename else ""
        raise GristmillError(f"{path}{error.strerror}; {MACHINE_FAILURES[error.errno]}") from error


@contextmanager
def exit_on_closed_pipe(on_exit: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Exit with the shell's status for SIGPIPE when the reader of the output is gone, as after ``| head``.

    Characters that the output's encoding lacks are written as escapes; bytes of the input that are not text
    are read as replacement characters.
    """
    open_closed_streams()
    for stream, errors in ((sys.stdout, "backslashreplace"), (sys.stdin, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
    try:
        try:
            yield
        finally:
            _flush_output()
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if pipe_is_closed(stream)]
        if not closed:
            raise  # another pipe or a socket
        for stream in closed:
            discard(stream)  # before anything else writes to it, as the interpreter does when it exits
        on_exit()
        sys.exit(128 + signal.SIGPIPE)


def pipe_is_closed(stream: TextIO) -> bool:
    """True if ``stream`` is a pipe that nobody reads any more."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except OSError:  # not a file, as in tests
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def discard(stream: TextIO) -> None:
    """Discard what is written to ``stream`` from now on, and what it has buffered."""
    with open(os.devnull, "wb") as devnull, suppress(OSError):  # noqa: PTH123 (no path; no file in tests)
        os.dup2(devnull.fileno(), stream.fileno())


def open_closed_streams() -> None:
    """Give the standard streams that the shell has closed, as by ``>&-``, an empty input and no output."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115 (not a path; open until the end)


def _flush_output() -> None:
    """Write what standard output has buffered; discard it if that fails, which :func:`run` reports."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        discard(sys.stdout)
