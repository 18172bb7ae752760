"""A training run that is killed again and again, beside the same run undisturbed.

``python benchmarks/torture.py [--kills 50] [--steps 250]`` makes small shards and trains a tiny model on them
with two processes on the CPU, first undisturbed, then on a disk of 48 MB, where it is killed at random
moments and started again until it is complete. The kinds of kills: SIGKILL to both processes, SIGTERM to
both, SIGKILL to one of them, and a disk without free space. For each kill, a phase is drawn in which to
strike; the table counts the phase that the files of the run showed at that moment.

A stop by SIGTERM must exit with 0, a full disk must be reported in a line, and in the end the weights, the
state of the optimizer and the metrics must be those of the undisturbed run, bit for bit; otherwise the script
fails. Speeds are left out, and tokens seen, which are also recorded at each stop. Linux's ``unshare`` is
needed, to mount the small disk without being root. The two processes are forks of this one, which spares them
the imports. Writes ``benchmarks/results/torture.md``.
"""

import argparse
import hashlib
import json
import os
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
import torch._dynamo  # imported before the processes are forked, like the next one
import torch.utils.tensorboard
from torch._C._distributed_c10d import TCPStore

from benchmarks.packed_run import encode, write_data
from core import manifest
from core.config import TokenizerConfig
from core.errors import GristmillError, run
from core.shards import SplitName
from core.shards.packing import Document
from core.tokenizer import train as train_tokenizer
from model.formats.checkpoint import find_latest
from train import __main__ as train_program

RESULTS = Path(__file__).parent / "results" / "torture.md"
PROCESSES, DISK, TIMEOUT = 2, "48m", 300.0
KINDS = ("SIGKILL to all", "SIGTERM to all", "a process lost", "disk full")
PHASES = ("starting", "training", "writing a checkpoint", "publishing")
CONFIG = """
[model]
num_layers = 2
hidden_size = 32
num_heads = 4
num_kv_heads = 2
dropout = 0.1
[train]
batch_size = 8
micro_batch_size = 4
learning_rate = 3e-3
checkpoint_every = 4
keep_every = 200
validate_every = 100
validation_sequences = 8
"""


class Run:
    """A training run in a folder of its own, which can be started several times."""

    def __init__(self, folder: Path, data: Path, log: Path, steps: int) -> None:
        self.log, self._training, self._steps = log, folder / "training", steps
        shutil.copytree(data, folder, dirs_exist_ok=True)
        self._checkpoints, self._metrics = self._training / "checkpoints", self._training / "metrics.jsonl"
        self._arguments = ["train", "--config", str(data.parent / "config.toml")]
        self._arguments += ["--set", f"output.path={json.dumps(str(folder))}"]
        self._arguments += ["--set", f"train.steps={steps}"]
        self.pids: list[int] = []

    def start(self) -> None:
        """Fork the processes, which write to the log."""
        self._file_before, self._resumed_after = self._inode(), self._latest_step()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.pids = [fork(partial(self._train, rank, port)) for rank in range(PROCESSES)]
        # As with torchrun, the store outlives the processes.
        self._store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False)

    def _train(self, rank: int, port: int) -> None:
        with self.log.open("ab") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
        os.environ |= {
            "LOCAL_WORLD_SIZE": str(PROCESSES),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
        sys.argv = self._arguments
        train_program.main()

    def wait(self) -> list[int]:
        """Wait until all processes have ended, and return their exit codes; after a failure, stop the others.

        As ``torchrun`` does: by SIGTERM, then SIGKILL.
        """
        codes: dict[int, int] = {}
        deadline = time.monotonic() + TIMEOUT
        while len(codes) < len(self.pids):
            for pid in set(self.pids) - codes.keys():
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    codes[pid] = os.waitstatus_to_exitcode(status)
                    if codes[pid] and len(codes) == 1:
                        self.signal(signal.SIGTERM)
                        deadline = time.monotonic() + 30
            if time.monotonic() > deadline:
                self.signal(signal.SIGKILL)
            time.sleep(0.002)
        del self._store
        return [codes[pid] for pid in self.pids]

    def signal(self, number: int, ranks: Sequence[int] = range(PROCESSES)) -> None:
        """Send a signal to processes that have not ended."""
        for rank in ranks:
            with suppress(ProcessLookupError):
                os.kill(self.pids[rank], number)

    @property
    def is_running(self) -> bool:
        """True unless a process has ended."""
        return not any(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) for pid in self.pids)

    def phase(self) -> str:
        """Return the phase that the files show."""
        if self._inode() == self._file_before or self.steps <= self._resumed_after:
            return "starting"
        latest = self._latest_step()
        found = [path for path in self._checkpoints.glob("step-*") if int(path.name[5:]) > latest]
        if not found:
            return "training"
        return "publishing" if any((path / manifest.NAME).exists() for path in found) else PHASES[2]

    @property
    def steps(self) -> int:
        """Number of steps in the metrics."""
        return self._metrics.read_bytes().count(b"\n") if self._metrics.exists() else 0

    @property
    def is_complete(self) -> bool:
        """True if the run's manifest is written."""
        return (self._training / manifest.NAME).exists()

    def hashes(self) -> tuple[str, str]:
        """Verify the last checkpoint; return hashes of weights and optimizer, and of the metrics."""
        found = find_latest(str(self._checkpoints))
        assert found and found[1].counts["step"] == self._steps
        manifest.verify(*found)
        state = sorted(entry.sha256 for entry in found[1].files if entry.path.endswith(".distcp"))
        lines = [json.loads(line) for line in self._metrics.read_text().splitlines()]
        # Tokens seen are recorded at checkpoints, of which a stopped run has more.
        learned = [
            {
                name: value
                for name, value in line.items()
                if not name.startswith(("perf/", "data/tokens_seen"))
            }
            for line in lines
        ]
        return tuple(hashlib.sha256(manifest.canonical(each)).hexdigest() for each in (state, learned))  # type: ignore[return-value]  # of two

    def _inode(self) -> int:
        return self._metrics.stat().st_ino if self._metrics.exists() else 0

    def _latest_step(self) -> int:
        latest = self._checkpoints / "latest"
        return int(latest.read_text()[5:]) if latest.exists() else 0


def fork(work: Callable[[], None]) -> int:
    """Call ``work`` in a forked process; return its id."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        _work(work)
    return pid


def _work(work: Callable[[], None]) -> NoReturn:
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def make_data(folder: Path) -> None:
    """Write a tokenizer and shards of random words."""
    choose = np.random.default_rng(1)
    words = ["".join(choose.choice(list("aeioubdmnrst"), choose.integers(2, 8))) for _ in range(200)]
    texts = [" ".join(choose.choice(words, choose.integers(5, 60))) for _ in range(300)]
    tokenizer = train_tokenizer(texts, TokenizerConfig(vocabulary_size=400))
    parts: dict[SplitName, Sequence[Document]] = {
        "train": encode(tokenizer, texts[20:]),
        "validation": encode(tokenizer, texts[:20]),
    }
    write_data(folder, tokenizer, 32, parts)


class Torturer:
    """Kills a run again and again."""

    def __init__(self, tortured: Run, disk: Path, seed: int, start_seconds: float) -> None:
        self._run, self._disk, self._choose = tortured, disk, random.Random(seed)
        self._start_seconds = start_seconds
        self.table: Counter[tuple[str, str]] = Counter()

    def kill(self, number: int) -> None:
        """Start the run, and kill it in a phase that is drawn; raise an error if it ends as it must not."""
        kind, target = KINDS[number % len(KINDS)], self._choose.choice(PHASES)
        size = self._run.log.stat().st_size if self._run.log.exists() else 0
        self._run.start()
        phase = self._wait_for(target)
        if not self._run.is_running:
            codes = self._run.wait()
            raise GristmillError(f"the run ended before kill {number + 1}, with {codes}; set fewer --kills")
        codes = self._strike(kind)
        self.table[kind, phase] += 1
        printed = self._run.log.read_bytes()[size:].decode(errors="replace")
        print(f"{number + 1}: {kind}, {phase}, step {self._run.steps}, exit codes {codes}", flush=True)
        wrong = ""
        if kind == "SIGTERM to all" and phase != "starting" and any(codes):
            wrong = "SIGTERM must exit with 0"
        if kind == "disk full" and "No space left on device; free space and run" not in printed:
            wrong = "a full disk must be reported"
        if "must have" in printed:
            wrong = "a certificate did not agree"
        if wrong:
            raise GristmillError(
                f"kill {number + 1}, {kind}, {phase}: {wrong}; exit codes {codes}\n{printed}"
            )

    def _wait_for(self, target: str) -> str:
        """Wait until the run is in a phase, or for some time; return the phase it is in."""
        if target == "starting":
            time.sleep(self._choose.uniform(0, self._start_seconds))
            return self._run.phase()
        deadline = time.monotonic() + TIMEOUT
        while (phase := self._run.phase()) == "starting" and self._run.is_running:
            if time.monotonic() > deadline:
                raise GristmillError(f"the run does not start; see {self._run.log}")
            time.sleep(0.005)
        time.sleep(self._choose.uniform(0, 0.3))
        deadline = time.monotonic() + 3
        while (phase := self._run.phase()) != target and time.monotonic() < deadline and self._run.is_running:
            pass
        return phase

    def _strike(self, kind: str) -> list[int]:
        if kind == "disk full":
            self._fill_disk()
            return self._run.wait()
        number = signal.SIGTERM if kind == "SIGTERM to all" else signal.SIGKILL
        ranks = [self._choose.randrange(PROCESSES)] if kind == "a process lost" else range(PROCESSES)
        self._run.signal(number, ranks)
        return self._run.wait()

    def _fill_disk(self) -> None:
        """Leave less space on the disk than a checkpoint takes, until a process of the run ends."""
        filler, left = self._disk / "filler", self._choose.choice((0, 4096, 100_000, 400_000))
        with filler.open("wb") as file:
            while self._run.is_running:
                free = shutil.disk_usage(self._disk).free - left
                if free > 0:  # also what an old checkpoint took
                    with suppress(OSError):  # the run takes space too
                        os.posix_fallocate(file.fileno(), filler.stat().st_size, free)
                time.sleep(0.005)
        filler.unlink()


def main(arguments: Sequence[str]) -> None:
    """Train undisturbed and tortured, compare, and write the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--may-mount", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.may_mount:
        command = [
            "unshare",
            "--map-root-user",
            "--mount",
            sys.executable,
            __file__,
            *arguments,
            "--may-mount",
        ]
        os.execvp(command[0], command)
    with tempfile.TemporaryDirectory(prefix="gristmill-torture-") as temporary:
        folder, disk = Path(temporary), Path(temporary) / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)], check=True)
        try:
            text = _compare(folder, disk, options.kills, options.steps, options.seed)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    print(text)
    options.results.write_text(text + "\n")


def _compare(folder: Path, disk: Path, kills: int, steps: int, seed: int) -> str:
    """Return the page of results. Raises :class:`GristmillError` if the two runs differ."""
    data = folder / "data"
    (folder / "config.toml").write_text(CONFIG)
    os.waitpid(fork(lambda: make_data(data)), 0)
    undisturbed, tortured = (
        Run(path, data, folder / f"{path.name}.log", steps) for path in (folder / "whole", disk / "run")
    )
    start = time.monotonic()
    undisturbed.start()
    while undisturbed.phase() == "starting" and undisturbed.is_running:
        time.sleep(0.01)
    start_seconds = time.monotonic() - start
    _complete(undisturbed)
    print(
        f"undisturbed: first step after {start_seconds:.1f} s, {time.monotonic() - start:.0f} s", flush=True
    )
    torturer = Torturer(tortured, disk, seed, start_seconds)
    for number in range(kills):
        torturer.kill(number)
    tortured.start()
    _complete(tortured)
    names = ("weights and optimizer", "metrics")
    lines = []
    for name, expected, found in zip(names, undisturbed.hashes(), tortured.hashes(), strict=True):
        if found != expected:
            raise GristmillError(f"{name}: {found}, but those of the undisturbed run are {expected}")
        lines.append(f"- {name}: equal, SHA-256 `{found}`")
    printed = tortured.log.read_text(errors="replace")
    return "\n".join(
        [
            "# A run that is killed again and again",
            "",
            f"`python benchmarks/torture.py --kills {kills} --steps {steps} --seed {seed}`, {date.today()}, "
            f"Python {platform.python_version()}, torch {torch.__version__}. {steps:,} steps, {PROCESSES} "
            f"processes, a checkpoint every 4 steps and at each stop. After {kills} kills, the run of "
            f"{kills + 1} parts beside the undisturbed one:",
            "",
            *lines,
            f"- resumed from a checkpoint {printed.count('resuming after step')} times; the first step after "
            f"it agreed with the certificate bit for bit {printed.count('bit for bit')} times, and never "
            "disagreed",
            "",
            f"| killed by | {' | '.join(PHASES)} | all |",
            f"|---|{'--:|' * (len(PHASES) + 1)}",
            *(_row(kind, [torturer.table[kind, phase] for phase in PHASES]) for kind in KINDS),
            _row("all", [sum(torturer.table[kind, phase] for kind in KINDS) for phase in PHASES]),
        ]
    )


def _complete(each: Run) -> None:
    """Wait until a run is complete."""
    codes = each.wait()
    if any(codes) or not each.is_complete:
        raise GristmillError(f"a run ended with {codes}:\n{each.log.read_text(errors='replace')[-2000:]}")


def _row(name: str, counts: Sequence[int]) -> str:
    return f"| {name} | {' | '.join(map(str, [*counts, sum(counts)]))} |"


if __name__ == "__main__":
    run(main)
