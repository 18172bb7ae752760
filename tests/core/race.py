"""Processes that compete for the locks of folders."""

import multiprocessing
import subprocess
import sys
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from core import storage
from core.errors import OutputError
from core.storage import locks

PATIENCE = 120.0
"""Seconds that a process waits for the others."""


def dead_holder(stage: str = "pack", number: int = 1) -> tuple[str, bytes]:
    """Return name and content of a lock whose holder has ended on this machine."""
    script = f"from core.storage import holders; print(holders.this_process('{stage}').encode().decode())"
    made = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return f"{locks.PREFIX}{number:06}", made.stdout


def compete(folders: list[str], processes: int = 2) -> list[int]:
    """Let processes compete for one folder after the other; return how many held each at the same time."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    pipes, started = [], []
    for _ in range(processes):
        receiver, sender = context.Pipe(duplex=False)
        pipes.append(receiver)
        started.append(context.Process(target=_compete, args=(folders, barrier, sender)))
    for process in started:
        process.start()
    won = [pipe.recv() if pipe.poll(PATIENCE) else None for pipe in pipes]
    for process in started:
        process.join()
    assert None not in won, "a process failed"
    return [sum(each) for each in zip(*won, strict=True)]


def _compete(folders: list[str], barrier: Barrier, sender: Connection) -> None:
    won = []
    for folder in folders:
        barrier.wait(PATIENCE)
        try:
            with locks.held(folder, "pack"):
                locks.check(folder)
                won.append(True)
                storage.write_atomic(storage.join(folder, "result"), b"x")
                barrier.wait(PATIENCE)
                locks.check(folder)
                barrier.wait(PATIENCE)
        except OutputError as error:
            if len(won) < folders.index(folder) + 1:
                assert "pack is running there" in str(error), error
                won.append(False)
                barrier.wait(PATIENCE)
                barrier.wait(PATIENCE)
            else:
                raise
    sender.send(won)
