"""Locks on output folders: one driver at a time, on local disks, ``s3://`` and ``hdfs://``.

A lock is a file ``.lock-NNNNNN`` in the folder, which only one process can create
(:mod:`core.storage.exclusive`). Of several, that with the highest number counts: a driver takes over from one
that was killed by creating the next number, for which again only one can succeed. A former holder that was
only suspended finds a higher number than its own.

The holder renews its lock every :data:`RENEW_SECONDS`. It is replaced if its process has ended, which can be
seen on the same machine, or if its lock was not renewed for :data:`STALE_SECONDS` by the clock of the driver
that waits; clocks of two machines are never compared.
"""

import math
import posixpath
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from core.errors import GristmillError, OutputError
from core.storage import absolute, exclusive, exists, filesystem, holders, join, name
from core.storage.failures import line, reporting
from core.storage.retries import limited, retrying

RENEW_SECONDS = 20.0
"""Time between two renewals of a lock."""
STALE_SECONDS = 60.0
"""Time after which a lock that nobody renews may be taken over."""
PROOF_SECONDS = STALE_SECONDS / 4
"""Age of the last renewal up to which it proves that the lock is held."""
WRITE_SECONDS = STALE_SECONDS / 2
"""Time after :func:`check` in which no other driver can take over, with a reserve for the last attempt."""
RELEASE_SECONDS = 10.0
"""Time for the removal of a lock, which is repeated no longer, so that an outage does not delay an error."""
POLL_SECONDS = 1.0
"""Time between two looks at another driver's lock."""
RETRY_SECONDS = 0.1
"""Time between two attempts to read or create a lock while other drivers change locks."""
PREFIX = ".lock-"
_LOCK = re.compile(rf"{re.escape(PREFIX)}(\d{{6}})")
_TEMPORARY = f".{PREFIX}"

on_loss: list[Callable[[], None]] = []
"""Functions that stop the work of this process when it has lost a lock, such as jobs on a cluster.

They are called from a thread, every :data:`POLL_SECONDS` until the block of :func:`held` ends, since the
process may go on to start more. Which stage the work belongs to is not known: a process that runs several at
once loses that of all.
"""

_held: dict[str, "FolderLock"] = {}
"""The locks of this process by folder."""


class FolderLock:
    """A lock that this process holds, or tries to take."""

    def __init__(self, folder: str, stage: str, number: int = 1) -> None:
        self.folder, self.number = folder, number
        self._new_folders: list[str] = []
        """The folder and those that contain it, as far as the lock makes them."""
        self._holder = holders.this_process(stage)
        self._token = self._holder.token.encode()
        self._renewed_at = -math.inf
        """Monotonic time at which the last successful renewal began."""
        self._renewal = threading.Lock()
        self._is_released = False
        self.loss: OutputError | None = None
        """The error for a lock that another driver has taken over or removed, once that was noticed."""
        self._stopped = threading.Event()
        self._renewing = threading.Thread(target=self._renew_repeatedly, name="lock", daemon=True)

    @property
    def path(self) -> str:
        """Path of the lock's file."""
        return _path(self.folder, self.number)

    def take(self, former: bytes | None) -> bool:
        """Create the lock, and begin to renew it; False if another driver is faster.

        ``former``: content of the lock with the number before, whose holder is gone; None if there is none.
        """
        self._new_folders = _missing_folders(self.folder)
        holders.live_tokens.add(self._holder.token)
        taken = False
        try:
            taken = self._take(former)
        finally:
            if not taken:
                self.release()
        return taken

    def _take(self, former: bytes | None) -> bool:
        started = time.monotonic()
        if not exclusive.create(self.path, self._holder.encode()):
            return False
        is_alive = exclusive.read(_path(self.folder, self.number - 1)) not in (None, former)
        if is_alive or not self._is_held():
            return False
        self._renewed_at = started
        self._renewing.start()
        if not exclusive.is_atomic(self.path, self._holder.encode()):
            print(
                f"warning: {self.folder}: its S3 server has no conditional writes (If-None-Match), so two "
                "drivers that start at the same moment may both go on; start one at a time",
                file=sys.stderr,
            )
        self._remove_others()
        return self._is_held()

    def check(self) -> None:
        """Raise :class:`OutputError` if another driver has taken over, or if the lock was removed.

        After that, nobody can take over for :data:`WRITE_SECONDS`. The lock is renewed if its last renewal is
        older than :data:`PROOF_SECONDS`.
        """
        for _ in range(3):  # a renewal that waited for the storage proves nothing for the time to come
            if not (self._is_held() if self._is_proved else self.renew()):
                raise self._loss()
            if self._is_proved:
                return
        raise OutputError(
            f"{self.folder}: its storage is too slow to renew a lock within {PROOF_SECONDS:.0f} s; "
            f"{self._holder.stage} stops here and publishes nothing; run it again later"
        )

    @property
    def _is_proved(self) -> bool:
        return time.monotonic() - self._renewed_at <= PROOF_SECONDS

    def _loss(self) -> OutputError:
        """Return the error for a lock that is lost."""
        newest = _newest(self.folder)
        holder = holders.parse(newest[1]) if newest else None
        cause = "its lock was removed"
        if holder:
            cause = f"{holder.description} took over at {holder.since}, as this driver had not responded"
        return OutputError(
            f"{self.folder}: {cause}; {self._holder.stage} stops here and publishes nothing; run it again"
        )

    def renew(self) -> bool:
        """Increase the counter; False if the lock is lost."""
        with self._renewal:
            started = time.monotonic()
            if not self._is_held():
                return False
            # Increased even if the write fails, as the storage may have received it.
            self._holder = self._holder.model_copy(update={"counter": self._holder.counter + 1})
            if not exclusive.replace(self.path, self._token, self._holder.encode()):
                return False
            if not self._is_held():
                # On HDFS, the write creates a lock again that another driver has just removed.
                exclusive.remove(self.path, self._token)
                return False
            self._renewed_at = started
            return True

    def release(self) -> None:
        """Remove the lock, unless another driver has taken over, and a folder that was made for it alone."""
        if self._is_released:
            return
        # If the storage fails, the lock remains. This process replaces it at once, others on this machine
        # when this process has ended, and those elsewhere after STALE_SECONDS.
        try:
            self._stopped.set()
            if self._renewing.is_alive():
                self._renewing.join(RELEASE_SECONDS)  # it may hang with the network
            with suppress(GristmillError), limited(RELEASE_SECONDS):
                exclusive.remove(self.path, self._token)
                for folder in self._new_folders:
                    exclusive.remove_if_empty(folder)
        finally:
            holders.live_tokens.discard(self._holder.token)
        self._is_released = True

    def _remove_others(self) -> None:
        """Remove former locks, and temporary files of processes that were killed while they created one."""
        with self._renewal:  # which has a temporary file too
            names = _names(self.folder)
        for each in names:
            lock = _LOCK.fullmatch(each)
            if each.startswith(_TEMPORARY) or (lock and int(lock[1]) < self.number):
                exclusive.remove(join(self.folder, each), b"")

    def _is_held(self) -> bool:
        newest = _newest(self.folder)
        return newest is not None and newest[0] == self.number and self._token in newest[1]

    def _renew_repeatedly(self) -> None:
        failures = 0
        while self.loss is None and not self._stopped.wait(RENEW_SECONDS):
            # If the storage fails, the next renewal may succeed; if another driver took over by then, that is
            # found then, or by check().
            try:
                with limited(RENEW_SECONDS):
                    if not self.renew() and not self._is_held():
                        self.loss = self._loss()
                failures = 0
            except Exception as error:
                failures += 1
                if failures == 2:
                    self._warn(error)
            if self._stopped.is_set():
                # On HDFS, the renewal may have created the lock again after its release.
                with suppress(Exception), limited(RELEASE_SECONDS):
                    exclusive.remove(self.path, self._token)
        while not self._stopped.is_set():
            for stop in on_loss:
                with suppress(Exception):
                    stop()
            self._stopped.wait(POLL_SECONDS)

    def _warn(self, error: Exception) -> None:
        print(
            f"warning: {self.folder}: two renewals of its lock failed ({line(error)}); if they go on to "
            f"fail, a driver on another machine may take over after {STALE_SECONDS:.0f} s",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def held(folder: str, stage: str) -> Iterator[None]:
    """Hold the lock of ``folder`` during the block.

    Waits for up to :data:`STALE_SECONDS`, after one line that says so, if a driver on another machine may
    have been killed. Raises :class:`OutputError` if another driver is alive, and instead of an exception of
    the block if the lock was lost meanwhile: what fails then fails because of that.
    """
    folder = _normalized(folder)
    attempt: list[FolderLock] = []
    try:
        lock = _acquire(folder, stage, attempt)
        _held[folder] = lock
        try:
            yield
        except Exception as error:
            if lock.loss and error is not lock.loss:
                raise lock.loss from error
            raise
    finally:
        # Not by the local variable: Ctrl-C may arrive before it is set.
        for each in attempt:
            if _held.get(folder) is each:
                del _held[folder]
            each.release()


def check(path: str) -> None:
    """Raise :class:`OutputError` if this process has lost the lock of a folder that contains ``path``.

    Called before anything is written that declares a folder's content to be complete.
    """
    path = _normalized(path)
    for folder, lock in list(_held.items()):
        if path == folder or path.startswith(f"{folder}/"):
            lock.check()


@reporting
def contents(folder: str) -> list[str]:
    """Return the names in a folder, locks excepted; none if there is no folder."""
    return [each for each in _names(folder) if not each.startswith((PREFIX, _TEMPORARY))]


def _acquire(folder: str, stage: str, attempt: list[FolderLock]) -> FolderLock:
    """Return the lock of ``folder`` once it is free or its holder is gone.

    ``attempt`` is set to the lock before it is taken, so that the caller can release it at any moment.
    """
    watch = _Watch(folder, stage)
    while True:
        newest = _newest(folder)
        if newest and not watch.is_gone(newest[1]):
            time.sleep(POLL_SECONDS)
            continue
        number, former = newest or (0, None)
        lock = FolderLock(folder, stage, number + 1)
        attempt[:] = [lock]
        if lock.take(former):
            return lock
        time.sleep(RETRY_SECONDS)


class _Watch:
    """Decides whether the holder of a lock is gone."""

    def __init__(self, folder: str, stage: str) -> None:
        self._folder, self._stage = folder, stage
        self._seen, self._since = b"", 0.0

    def is_gone(self, data: bytes) -> bool:
        """True if the holder of the lock with this content is gone, False if that is not known yet.

        Raises :class:`OutputError` if it is alive.
        """
        holder, before = holders.parse(data), holders.parse(self._seen)
        is_running = holders.is_running(holder) if holder else None
        if is_running is False:
            return True
        renewed = holder and before and holder.token == before.token and holder.counter != before.counter
        if holder and (is_running or renewed):
            raise OutputError(
                f"{self._folder}: {holder.stage} is running there, as {holder.description} since "
                f"{holder.since}; wait until it has finished, or stop it and run this again"
            )
        if data != self._seen:
            self._seen, self._since = data, time.monotonic()
            who = f"{holder.description} since {holder.since}" if holder else "another driver"
            print(
                f"{self._stage}: {self._folder} is claimed by {who}; waiting for up to {STALE_SECONDS:.0f} s "
                "to see whether it was killed …",
                flush=True,
            )
        return time.monotonic() - self._since >= STALE_SECONDS


def _missing_folders(folder: str) -> list[str]:
    """Return a folder and those that contain it, from the innermost, up to the first that exists."""
    missing: list[str] = []
    if folder.startswith("s3://"):  # has no folders
        return missing
    while posixpath.basename(folder) and not exists(folder):
        missing.append(folder)
        folder = posixpath.dirname(folder)
    return missing


@reporting
@retrying
def _names(folder: str) -> list[str]:
    fs, inner = filesystem(folder)
    try:
        found = fs.ls(inner, detail=False)
    except FileNotFoundError:
        return []
    return [name(path) for path in found if path.rstrip("/") != inner.rstrip("/")]


def _numbers(folder: str) -> list[int]:
    return [int(match[1]) for match in map(_LOCK.fullmatch, _names(folder)) if match]


def _newest(folder: str) -> tuple[int, bytes] | None:
    """Return number and content of the lock that counts, if there is one."""
    while numbers := _numbers(folder):
        newest = max(numbers)
        if (data := exclusive.read(_path(folder, newest))) is not None:
            return newest, data
        time.sleep(RETRY_SECONDS)
    return None


def _path(folder: str, number: int) -> str:
    return join(folder, f"{PREFIX}{number:06}")


def _normalized(path: str) -> str:
    return absolute(path).removeprefix("file://")
