"""Start the trainer as users do, and kill it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIMEOUT = 180
ROOT = Path(__file__).parents[2]


def command(processes: int, *arguments: str, module: str = "train") -> list[str]:
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *(torchrun if processes > 1 else []), "-m", module, *arguments]


def environment() -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default", "PYTHONPATH": paths}


def run(processes: int, *arguments: str, module: str = "train") -> subprocess.CompletedProcess[str]:
    """Run ``-m train`` (or another module) and wait for it."""
    return subprocess.run(
        command(processes, *arguments, module=module),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def kill_after(lines: int, metrics: Path, processes: int, *arguments: str, module: str = "train") -> None:
    """Run a module, and kill all its processes when file ``metrics`` has ``lines`` lines."""
    with _started(command(processes, *arguments, module=module)) as process:
        deadline = time.monotonic() + TIMEOUT
        while not metrics.exists() or metrics.read_bytes().count(b"\n") < lines:
            assert process.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline, "timed out"
            time.sleep(0.002)


@contextmanager
def _started(arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    silent = subprocess.DEVNULL
    process = subprocess.Popen(arguments, env=environment(), cwd=ROOT, stdout=silent, stderr=silent)
    try:
        yield process
    finally:
        # The parent first, so that it cannot react to the exit of its children.
        for pid in [process.pid, *children(process.pid)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()


def children(pid: int) -> list[int]:
    """Return the child processes of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
