"""Start drivers (``driver.py``), send them jobs, and kill them."""

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.commands import ROOT, SHORT_LIVED

START_SECONDS = 120.0
SECONDS = 240.0
"""Time that a job may take on a busy machine, including all retries."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit code and output of a job. ``code`` is None if it was killed or did not end in time."""

    code: int | None
    out: str
    err: str
    seconds: float

    def complaints(self) -> list[str]:
        """Return what is wrong with a failure: it must exit with 1 and end with a line that explains it."""
        if self.code is None:
            return [f"did not end within {self.seconds:.0f} s"]
        lines = [line for line in self.err.splitlines() if line.strip()]
        last = lines[-1] if lines else ""
        found = []
        if self.code != 1:
            found.append(f"exit code {self.code} instead of 1")
        if "Traceback (most recent call last)" in self.err:
            found.append("a traceback")
        if sum(line.startswith("error: ") for line in lines) > 1:
            found.append("several lines that begin with 'error: '")
        if not last.startswith("error: "):
            found.append(f"no line that begins with 'error: ' at the end, but {last[:200]!r}")
        return found

    @property
    def last_line(self) -> str:
        """The last line of standard error."""
        return next((line for line in reversed(self.err.splitlines()) if line.strip()), "")


class Driver:
    """A running driver. It is started again when it has ended."""

    def __init__(
        self,
        folder: Path,
        kind: Literal["spark", "train"],
        environment: Mapping[str, str],
        options: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        """``options`` are for ``spark-submit``; ``prefix`` is a command that runs the driver's."""
        self._folder, self._kind, self._prefix = folder, kind, prefix
        self._numbers = itertools.count()
        submit = [
            "--master",
            "local[2]",
            "--driver-memory",
            "1g",
            "--driver-java-options",
            f"'{SHORT_LIVED}'",
        ]
        submit += ["--conf", "spark.sql.shuffle.partitions=4", *options, "pyspark-shell"]
        self._environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "PYSPARK_SUBMIT_ARGS": " ".join(submit),
            **environment,
        }
        self.process: subprocess.Popen[str] | None = None
        self.log = folder / f"{kind}-driver.log"
        folder.mkdir(parents=True, exist_ok=True)

    def run(self, job: str, *arguments: str, seconds: float = SECONDS) -> Outcome:
        """Run a job and wait for it; kill the driver if that takes longer than ``seconds``."""
        return self.start(job, *arguments).wait(seconds)

    def start(self, job: str, *arguments: str) -> "Running":
        """Begin a job."""
        assert self.pid and self.process and self.process.stdin
        number = next(self._numbers)
        out, err = (self._folder / f"{self._kind}-{number}-{job}.{stream}" for stream in ("out", "err"))
        out.touch()
        request = {"job": job, "arguments": arguments, "out": str(out), "err": str(err)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Running(self, out, err)

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self._prefix, sys.executable, "-m", "tests.faults.driver", self._kind],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                cwd=ROOT,
                text=True,
                start_new_session=True,
            )
        if not self.read_line(START_SECONDS):
            self.kill()
            raise RuntimeError(f"the driver did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    @property
    def pid(self) -> int:
        """The process, which is started if necessary."""
        if self.process is None or self.process.poll() is not None:
            self._start()
        assert self.process
        return self.process.pid

    @property
    def has_answer(self) -> bool:
        """True if the driver has answered, or has ended."""
        if self.process is None or self.process.stdout is None:
            return True
        return bool(select.select([self.process.stdout], [], [], 0)[0])

    def read_line(self, seconds: float) -> str:
        """Return the driver's next answer, empty if there is none in time, or none any more."""
        assert self.process and self.process.stdout
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline() if ready else ""

    def kill(self) -> None:
        """Kill the driver with all processes that it has started, at once."""
        if self.process is None:
            return
        send(signal.SIGSTOP, descendants(self.process.pid))  # so that none reacts to the end of another
        send(signal.SIGKILL, [self.process.pid, *descendants(self.process.pid)])
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                with suppress(OSError):
                    stream.close()
        self.process = None


class Running:
    """A job that a driver runs."""

    def __init__(self, driver: Driver, out: Path, err: Path) -> None:
        self._driver, self._out, self._err = driver, out, err
        self._started = time.monotonic()

    @property
    def printed(self) -> str:
        """Standard output of the job so far."""
        return self._out.read_text(errors="replace")

    def wait_for(self, text: str, seconds: float = SECONDS) -> bool:
        """Wait until the job has printed ``text``; return False if it ends or time runs out before."""
        deadline = time.monotonic() + seconds
        while text not in self.printed:
            if self._driver.has_answer or time.monotonic() > deadline:
                return text in self.printed
            time.sleep(0.01)
        return True

    @property
    def has_ended(self) -> bool:
        """True if the job has ended."""
        return self._driver.has_answer

    def wait(self, seconds: float = SECONDS) -> Outcome:
        """Wait for the end; kill the driver when ``seconds`` have passed since the start."""
        left = max(0.0, self._started + seconds - time.monotonic())
        line = self._driver.read_line(left)
        took = time.monotonic() - self._started
        if not line:
            self._driver.kill()
        texts = (path.read_text(errors="replace") if path.exists() else "" for path in (self._out, self._err))
        out, err = texts
        return Outcome(json.loads(line)["code"] if line else None, out, err, took)


@contextmanager
def driver(
    folder: Path,
    kind: Literal["spark", "train"],
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    prefix: Sequence[str] = (),
) -> Iterator[Driver]:
    """Provide a driver, and kill it at the end."""
    made = Driver(folder, kind, environment, options, prefix)
    try:
        yield made
    finally:
        made.kill()


def find_processes(root: int, *words: str) -> list[int]:
    """Return the descendants of a process whose command lines contain all ``words``."""
    return [pid for pid in descendants(root) if all(word in command_line(pid) for word in words)]


def python_workers(root: int) -> list[int]:
    """Return the processes below ``root`` in which Spark runs Python: forks of a daemon."""
    return [
        worker
        for daemon in find_processes(root, "pyspark.daemon")
        for worker in descendants(daemon)
        if "pyspark.daemon" in command_line(worker)
    ]


def command_line(pid: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def send(number: signal.Signals, pids: Sequence[int]) -> int:
    """Send a signal to processes; return how many received it."""
    reached = 0
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            reached += 1
    return reached


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have."""
    found: list[int] = []
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    for child in children:
        found += [child, *descendants(child)]
    return found
