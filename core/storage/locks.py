"""Locks on output folders: one driver at a time, on local disks, ``s3://`` and ``hdfs://``.

A lock is a file ``.lock-NNNNNN`` in the folder, which only one process can create
(:mod:`core.storage.exclusive`). Of several, that with the highest number counts: a driver takes over from one
that was killed by creating the next number, for which again only one can succeed. The former holder, should
it come back, finds a higher number than its own.

The holder renews its lock every :data:`RENEW_SECONDS`. It is taken for dead if its process has ended, which
can be seen on the same machine, or if its lock stands still for :data:`STALE_SECONDS` by the clock of the
driver that waits; clocks of two machines are never compared.
"""

import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import GristmillError, OutputError
from core.storage import absolute, exclusive, exists, filesystem, join, name
from core.storage.failures import reporting

RENEW_SECONDS = 20.0
"""Time between two renewals of a lock."""
STALE_SECONDS = 60.0
"""Time after which a lock that nobody renews may be taken over."""
POLL_SECONDS = 1.0
"""Time between two looks at another driver's lock."""
PREFIX = ".lock-"
_LOCK = re.compile(rf"{re.escape(PREFIX)}(\d{{6}})")
_TEMPORARY = f".{PREFIX}"
_LENGTH = 1024
"""Bytes of a lock. They are always as many, so that a local one is renewed in place."""

_held: dict[str, "FolderLock"] = {}
"""The locks of this process by folder."""


class Holder(BaseModel):
    """The content of a lock: who holds it."""

    model_config = ConfigDict(frozen=True)
    token: str
    """Unique to this attempt to hold a lock."""
    stage: str
    host: str
    machine: str
    """Equal for processes that can see each other's ids; empty if unknown."""
    pid: int
    process: str
    """Start time of the process, which distinguishes it from a later one of the same id."""
    since: str
    """Date and time by the clock of ``host``, for people."""
    counter: int = 0
    """Number of renewals."""

    @property
    def description(self) -> str:
        """The process and its host."""
        return f"process {self.pid} on {self.host}"

    def encode(self) -> bytes:
        """Return the content of the lock's file."""
        return self.model_dump_json().encode().ljust(_LENGTH)


class FolderLock:
    """A lock that this process holds, or tries to take."""

    def __init__(self, folder: str, stage: str, number: int = 1) -> None:
        self.folder, self.number = folder, number
        self._is_new_folder = False
        self._holder = _this_process(stage)
        self._token = self._holder.token.encode()
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
        self._is_new_folder = not exists(self.folder)
        if not exclusive.create(self.path, self._holder.encode()):
            return False
        is_alive = exclusive.read(_path(self.folder, self.number - 1)) not in (None, former)
        if is_alive or not self._is_held():
            exclusive.remove(self.path, self._token)
            return False
        if not exclusive.is_atomic(self.path, self._holder.encode()):
            print(
                f"warning: {self.folder}: its S3 server has no conditional writes (If-None-Match), so two "
                "drivers that start at the same moment are not told apart; start one at a time",
                file=sys.stderr,
            )
        self._remove_others()
        self._renewing.start()
        return True

    def check(self) -> None:
        """Raise :class:`OutputError` if another driver has taken over, or if the lock was removed."""
        if self._is_held():
            return
        newest = _newest(self.folder)
        holder = _parse(newest[1]) if newest else None
        cause = "its lock was removed"
        if holder:
            cause = f"{holder.description} took over at {holder.since}, as this driver had not responded"
        raise OutputError(
            f"{self.folder}: {cause}; {self._holder.stage} stops here and publishes nothing; run it again"
        )

    def renew(self) -> bool:
        """Increase the counter; False if the lock is lost."""
        renewed = self._holder.model_copy(update={"counter": self._holder.counter + 1})
        if not self._is_held() or not exclusive.replace(self.path, self._token, renewed.encode()):
            return False
        self._holder = renewed
        return True

    def release(self) -> None:
        """Remove the lock, unless another driver has taken over, and a folder that was made for it alone."""
        self._stopped.set()
        self._renewing.join(RENEW_SECONDS)  # it may hang with the network
        # A lock that remains is found to be stale.
        with suppress(GristmillError):
            exclusive.remove(self.path, self._token)
            if self._is_new_folder:
                exclusive.remove_if_empty(self.folder)

    def _remove_others(self) -> None:
        """Remove former locks, and temporary files of processes that were killed while they created one."""
        for each in _names(self.folder):
            if each.startswith((PREFIX, _TEMPORARY)) and each != name(self.path):
                exclusive.remove(join(self.folder, each), b"")

    def _is_held(self) -> bool:
        newest = _newest(self.folder)
        return newest is not None and newest[0] == self.number and self._token in newest[1]

    def _renew_repeatedly(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS):
            # If the storage fails, the next renewal may succeed; if another driver took over by then, check()
            # finds that.
            with suppress(Exception):
                if not self.renew() and not self._is_held():
                    return


@contextmanager
def held(folder: str, stage: str) -> Iterator[None]:
    """Hold the lock of ``folder`` during the block.

    Waits for up to :data:`STALE_SECONDS`, after one line that says so, if a driver on another machine may
    have been killed. Raises :class:`OutputError` if another driver is alive.
    """
    folder = _normalized(folder)
    lock = _acquire(folder, stage)
    _held[folder] = lock
    try:
        yield
    finally:
        del _held[folder]
        lock.release()


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


def _acquire(folder: str, stage: str) -> FolderLock:
    """Return the lock of ``folder`` once it is free or its holder is gone."""
    watch = _Watch(folder, stage)
    while True:
        newest = _newest(folder)
        if newest and not watch.is_gone(newest[1]):
            time.sleep(POLL_SECONDS)
            continue
        number, former = newest or (0, None)
        lock = FolderLock(folder, stage, number + 1)
        if lock.take(former):
            return lock


class _Watch:
    """Decides whether the holder of a lock is gone."""

    def __init__(self, folder: str, stage: str) -> None:
        self._folder, self._stage = folder, stage
        self._seen, self._since = b"", 0.0

    def is_gone(self, data: bytes) -> bool:
        """True if the holder of the lock with this content is gone, False if that is not known yet.

        Raises :class:`OutputError` if it is alive.
        """
        holder, before = _parse(data), _parse(self._seen)
        is_running = _is_running(holder) if holder else None
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


@reporting
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
    return None


def _path(folder: str, number: int) -> str:
    return join(folder, f"{PREFIX}{number:06}")


def _normalized(path: str) -> str:
    return absolute(path).removeprefix("file://")


def _parse(data: bytes) -> Holder | None:
    """Return the holder, None if the content is not that of a lock, as while it is being written."""
    with suppress(ValidationError):
        return Holder.model_validate_json(data)
    return None


def _this_process(stage: str) -> Holder:
    return Holder(
        token=uuid.uuid4().hex,
        stage=stage,
        host=socket.gethostname(),
        machine=_machine(),
        pid=os.getpid(),
        process=_start_time(os.getpid()) or "",
        since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def _machine() -> str:
    """Return host, boot and namespace of processes. A container has a namespace of its own."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def _is_running(holder: Holder) -> bool | None:
    """True if the process of a holder runs, False if it has ended, None if that cannot be seen from here."""
    if not holder.machine or holder.machine != _machine():
        return None
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    start = _start_time(holder.pid)
    return None if start is None else start == holder.process


def _start_time(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; empty if it has ended, None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # ended since, or hidden from this user
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
