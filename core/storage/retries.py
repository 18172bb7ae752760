"""Retries: the one policy by which failed requests to storage are repeated.

Clients are set to try once, so that the loops here are the only ones: nested loops multiply their attempts
and waiting times, and hide for minutes that anything is wrong.
"""

import asyncio
import math
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar

from core.errors import GristmillError, InputError, UnavailableError
from core.storage.failures import Failure, ShortReadError, describe, reporting

SECONDS = 120.0
"""Time after which a request is given up: more than the restart of a NameNode takes."""
MIN_ATTEMPTS = 3
"""Attempts that every request has, since one attempt at a large upload or download may last longer."""
FIRST_WAIT = 0.2
LONGEST_WAIT = 20.0
"""Bounds in seconds of the waiting time, which doubles with every attempt."""

_end: ContextVar[float] = ContextVar("end of retries", default=math.inf)
"""Monotonic time after which nothing is repeated."""

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Repeat no request of the block later than ``seconds`` after its start.

    This has precedence over :data:`MIN_ATTEMPTS`. It applies to requests that s3fs sends in its event loop
    too, but not to other threads. An attempt that hangs is not interrupted.
    """
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


class Attempts:
    """Attempts at one request, which end after :data:`SECONDS`, but not before :data:`MIN_ATTEMPTS`.

    In a block of :func:`limited` they end with its time.
    """

    def __init__(self, path: str, seconds: float | None = None) -> None:
        """``path`` names the target in messages; ``seconds`` replaces the default."""
        self._path, self._seconds = path, SECONDS if seconds is None else seconds
        self._started, self._end = time.monotonic(), _end.get()
        self.count = 0
        """Number of failed attempts."""

    def wait_after(self, failure: Failure) -> float:
        """Return the seconds to wait before the next attempt, and print a warning that says why.

        They are random between zero and a bound that doubles (*full jitter*), so that tasks which a server
        turned away together do not return together. Raises :class:`UnavailableError` if the time is over, or
        the failure is not transient.
        """
        if failure.kind != "transient":
            raise UnavailableError(f"{self._path}: {failure.cause}; {failure.remedy}")
        self.count += 1
        wait = random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (self.count - 1)))
        elapsed = time.monotonic() - self._started
        is_over = elapsed + wait > self._seconds and self.count >= MIN_ATTEMPTS
        if is_over or self._started + elapsed + wait > self._end:
            tried = f"{self.count} attempt{'s' if self.count > 1 else ''} in {elapsed:.0f} s"
            raise UnavailableError(f"{self._path}: {failure.cause}, after {tried}; {failure.remedy}")
        print(
            f"warning: {self._path}: {failure.cause}; attempt {self.count} failed, the next in {wait:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        return wait

    def wait_after_error(self, error: Exception) -> float:
        """Do as :meth:`wait_after` for an exception, which is raised again if it is not transient."""
        failure = None if isinstance(error, GristmillError) else describe(self._path, error)
        if failure is None or failure.kind != "transient":
            raise error
        return self.wait_after(failure)


def repeat(path: str, call: Callable[[], T]) -> T:
    """Return the result of ``call``, which is repeated after transient failures.

    Raises :class:`UnavailableError` when they do not end, and every other exception as it comes.
    """
    attempts = Attempts(path)
    while True:
        try:
            return call()
        except Exception as error:
            wait = attempts.wait_after_error(error)
        time.sleep(wait)


async def repeat_async(path: str, call: Callable[[], Awaitable[T]]) -> T:
    """Do as :func:`repeat` in an event loop."""
    attempts = Attempts(path)
    while True:
        try:
            return await call()
        except Exception as error:
            wait = attempts.wait_after_error(error)
        await asyncio.sleep(wait)


def retrying(function: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Repeat ``function(path, …)`` as :func:`repeat` does. A call after a failed one must do no harm."""

    @wraps(function)
    def run(path: str, /, *arguments: P.args, **options: P.kwargs) -> T:
        return repeat(path, partial(function, path, *arguments, **options))

    return run


@reporting
@retrying
def fetch(path: str, read: Callable[[], bytes], length: int) -> bytes:
    """Return the ``length`` bytes that ``read`` requests from a server, which must exist.

    Fewer count as a failure: readers would take them for the end of the file. Raises errors of ours only, so
    that no reader takes a failure of the storage for damage of the data.
    """
    data = read()
    if len(data) > length:
        raise InputError(f"{path}: its server ignores byte ranges, which must be answered; use another one")
    if len(data) < length:
        raise ShortReadError(f"{len(data)} of {length} bytes")
    return data
