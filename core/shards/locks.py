"""Locks between the threads and processes of a machine."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_POLL_SECONDS = 0.01


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold the lock file ``path``, which is removed afterwards.

    Do without it if it cannot be had within ``seconds``, as when its holder hangs, or if the folder cannot be
    written.
    """
    file = None
    with suppress(OSError):  # some network file systems have no locks
        file = _acquire(path, seconds)
    try:
        yield
    finally:
        if file:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # a fork may have the file open, so that closing it is not enough
                fcntl.flock(file, fcntl.LOCK_UN)
            file.close()


def _acquire(path: Path, seconds: float) -> BinaryIO | None:
    end = time.monotonic() + seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    while time.monotonic() < end:
        file = path.open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have removed it, and another process may have made one since.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            file.close()
        except (BlockingIOError, FileNotFoundError):
            file.close()
            time.sleep(_POLL_SECONDS)
        except OSError:
            file.close()
            raise
    return None
