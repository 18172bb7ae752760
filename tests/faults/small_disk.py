"""A small disk for one process: ``python -m tests.faults.small_disk FOLDER SIZE COMMAND …``.

Mounts an empty file system in memory at FOLDER and becomes COMMAND. It is run by ``unshare``, which lets any
user mount, in a namespace that nobody else sees.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


class SmallDisk:
    """A disk of a driver, as other processes see it."""

    def __init__(self, folder: Path, size: str) -> None:
        """``folder``: an empty folder. ``size``: as for ``mount``, such as ``16m``."""
        self.folder = folder
        program = [sys.executable, "-m", "tests.faults.small_disk", str(folder), size]
        self.prefix: Sequence[str] = ["unshare", "--map-root-user", "--mount", *program]
        """Command before that of the process that gets the disk."""

    def seen_by_others(self, pid: int) -> Path:
        """Return the folder's path for other processes; ``pid`` is the process that has the disk."""
        return Path(f"/proc/{pid}/root{self.folder}")

    def fill(self, pid: int, left: int) -> None:
        """Leave ``left`` bytes free."""
        folder = self.seen_by_others(pid)
        status = os.statvfs(folder)
        with (folder / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, status.f_bavail * status.f_frsize - left))

    def free(self, pid: int) -> None:
        """Free what was filled."""
        (self.seen_by_others(pid) / "filler").unlink()


if __name__ == "__main__":
    _, folder, size, *command = sys.argv
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    os.execvp(command[0], command)
