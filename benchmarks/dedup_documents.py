"""Generated documents with exact and near copies, and runs of ``jobs/dedup.py`` over them.

Words are drawn from a vocabulary by Zipf's law, so that a document has 250 of them and about 1.5 kB. One in
ten is an exact copy of an earlier one, one in ten a near copy with a true Jaccard similarity of .75 to .95.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

WORDS, SHINGLE = 250, 5
VOCABULARY = 50_000
ROWS_PER_FILE = 50_000
POOL = 10_000
"""Earlier documents that may be copied."""
EXACT, NEAR = 0.1, 0.2
"""Share of exact copies, and of both kinds."""
REPOSITORY = Path(__file__).parent.parent

Documents = NDArray[np.int32]
"""int32[documents, words]: numbers of words."""


def write_documents(folder: Path, count: int, seed: int = 1) -> None:
    """Write ``count`` documents as Parquet files with columns ``id`` and ``text``, in bounded memory."""
    rng = np.random.default_rng(seed)
    letters = rng.integers(ord("a"), ord("z") + 1, (VOCABULARY, 8)).astype(np.uint8)
    vocabulary = [bytes(word[: 2 + number % 7]).decode() for number, word in enumerate(letters)]
    ranks = np.arange(1, VOCABULARY + 1)
    cumulative = np.cumsum(1 / (ranks + 10.0))
    pool = np.empty((0, WORDS), np.int32)
    folder.mkdir(parents=True)
    rows = max(1, min(ROWS_PER_FILE, (count + 1) // 2))
    for number, first in enumerate(range(0, count, rows)):
        size = min(rows, count - first)
        drawn = rng.random((size, WORDS)) * cumulative[-1]
        documents = cumulative.searchsorted(drawn).astype(np.int32)
        pool = _copy(documents, pool, rng)
        texts = [" ".join([vocabulary[word] for word in row]) for row in documents.tolist()]
        names = [f"document-{first + index:09}" for index in range(size)]
        pq.write_table(pa.table({"id": names, "text": texts}), folder / f"part-{number:04}.parquet")


def _copy(documents: Documents, pool: Documents, rng: np.random.Generator) -> Documents:
    """Replace a part of the documents by copies of those before, in place. Return documents to copy next."""
    kind = rng.random(len(documents))
    originals, rows = np.flatnonzero(kind >= NEAR), np.flatnonzero(kind < NEAR)
    before = len(pool) + originals.searchsorted(rows)
    rows, before = rows[before > 0], before[before > 0]
    copies = np.concatenate([pool, documents[originals]])[rng.integers(0, before)]
    similarity = rng.uniform(0.75, 0.95, len(rows))
    # A shingle survives if none of its words is replaced.
    share = 1 - (2 * similarity / (1 + similarity)) ** (1 / SHINGLE)
    share[kind[rows] < EXACT] = 0
    replaced = rng.random(copies.shape) < share[:, None]
    documents[rows] = np.where(replaced, rng.integers(0, VOCABULARY, copies.shape), copies)
    return rng.permutation(np.concatenate([pool, documents]))[:POOL]


class TimeLimitError(Exception):
    """A command was stopped."""


class CommandError(Exception):
    """A command failed. The message has its exit code and the last lines of its log."""


def run_command(
    command: Sequence[str], *, limit: float, folder: Path, environment: dict[str, str] | None = None
) -> tuple[float, str]:
    """Run a command in a folder on two cores, with this repository on Python's path.

    Returns its seconds and what it printed on stdout.

    Raises :class:`TimeLimitError` after ``limit`` seconds, and :class:`CommandError` if it fails.
    """
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    started = time.monotonic()
    process = subprocess.Popen(
        ["taskset", "-c", "0,1", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=(folder / "stderr.log").open("ab"),
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        raise TimeLimitError from None
    if process.returncode:
        last = (folder / "stderr.log").read_text(errors="replace")[-3000:]
        raise CommandError(f"exit {process.returncode}: {' '.join(command)}\n{last}")
    return time.monotonic() - started, printed


def job_command(documents: Path, out: Path, settings: Sequence[str] = (), memory: str = "2g") -> list[str]:
    """Return the command that runs our job over documents on two cores."""
    submit = Path(sys.executable).with_name("spark-submit")
    options = ["dedup.preset=fineweb", "dedup.output=duplicates", *settings]
    options += [f"input.paths={json.dumps([f'{documents}/*.parquet'])}", f"output.path={out}"]
    command = [str(submit), "--master", "local[2]", "--driver-memory", memory]
    command.append(str(REPOSITORY / "jobs" / "dedup.py"))
    return command + [word for option in options for word in ("--set", option)]


def steps(out: Path) -> Iterator[tuple[str, float]]:
    """Yield title and seconds of the steps of a finished job, in order."""
    marks = sorted(out.rglob("*.done"), key=lambda path: path.stat().st_mtime)
    for mark in marks:
        timing = json.loads(mark.read_text())
        yield timing["title"].partition(": ")[2], timing["seconds"]
