"""Holders of locks: what a lock says about its process, and whether that process still runs."""

import os
import socket
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

_LENGTH = 1024
"""Bytes of a lock. They are always as many, so that a local one is renewed in place."""

live_tokens: set[str] = set()
"""Tokens of the locks that this process holds or tries to take."""


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


def parse(data: bytes) -> Holder | None:
    """Return the holder, None if the content is not that of a lock, as while it is being written."""
    with suppress(ValidationError):
        return Holder.model_validate_json(data)
    return None


def this_process(stage: str) -> Holder:
    """Return this process as the holder of a lock that it is about to take."""
    return Holder(
        token=uuid.uuid4().hex,
        stage=stage,
        host=socket.gethostname(),
        machine=machine_id(),
        pid=os.getpid(),
        process=start_time(os.getpid()) or "",
        since=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    )


def machine_id() -> str:
    """Return host, boot and namespace of processes. A container has a namespace of its own."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    return ""


def is_running(holder: Holder) -> bool | None:
    """True if the process of a holder runs, False if it has ended, None if that cannot be seen from here.

    False too for a lock of this process that it could not remove when it released it.
    """
    if not holder.machine or holder.machine != machine_id():
        return None
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    start = start_time(holder.pid)
    if start is None:
        return None
    is_same = start == holder.process
    return holder.token in live_tokens if is_same and holder.pid == os.getpid() else is_same


def start_time(pid: int) -> str | None:
    """Return when a process started, in ticks since the boot; empty if it has ended, None if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # ended since, or hidden from this user
        return None
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]
