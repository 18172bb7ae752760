"""Speed of near-duplicate removal: from documents to the table of duplicates, on two cores, beside peers.

``python benchmarks/dedup_speed.py [--sizes 10000 100000 1000000]`` generates documents of 250 words
(``dedup_documents.py``) and runs each of these once over the same Parquet files, with 14 bands of 8 rows and
5-word shingles:

- ``spark-submit jobs/dedup.py`` with ``dedup.output=duplicates``, which also compares candidates;
- datatrove: signatures, buckets, clusters, filter, with two workers;
- text-dedup, with ``--text-dedup PYTHON``, the interpreter of an environment that contains it;
- a plain script with datasketch's MinHashLSH.

A peer that takes longer than ``--max-seconds`` is stopped; ``--stop datasketch 400`` sets another limit for
one. ``--signatures`` measures signatures per second of one core beside datasketch and rensa. ``--one-pass
FILE…`` measures the share of MinHash work in the one pass of ``jobs/clean.py`` over raw pages. datatrove
requires ``spacy``, ``xxhash<4`` and ``orjson``.
Writes ``benchmarks/results/dedup_speed.md`` (``--output``).
"""

import argparse
import importlib.metadata
import importlib.util
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH
from rensa import RMinHash

from benchmarks import dedup_documents
from benchmarks.dedup_documents import CommandError, TimeLimitError, job_command, run_command, write_documents
from core.config import Config, DedupConfig, InputConfig
from core.errors import run
from pipeline.analysis.normalized import normalized_words
from pipeline.dedup.minhash import signatures
from pipeline.dedup.parameters import parameters
from pipeline.extraction.guard import guard
from pipeline.readers.inputs import plan_splits
from pipeline.spark import record_processing

RESULTS = Path(__file__).parent / "results" / "dedup_speed.md"
PARAMETERS = parameters(DedupConfig(preset="fineweb"))
BANDS, ROWS, SHINGLE, SEED, _ = PARAMETERS
OURS, DATATROVE, TEXT_DEDUP, DATASKETCH = "Gristmill", "datatrove", "text-dedup", "datasketch"
NEEDED = {"spacy": "spacy", "xxhash": "'xxhash<4'", "orjson": "orjson"}
"""Modules that datatrove needs, and how they are installed."""
TEXT_DEDUP_SOURCE = "git+https://github.com/ChenghaoMou/text-dedup"
TINY = 100
"""Documents of the run that shows fixed costs."""
SIGNED = 2_000
ROUNDS = 3


class Result:
    """Running time and dropped documents of one contestant; seconds are None if it was stopped."""

    def __init__(self, seconds: float | None, dropped: int | None, details: str = "") -> None:
        self.seconds, self.dropped, self.details = seconds, dropped, details


Measure = Callable[[Path, Path, float], Result]
"""Runs a contestant, given the folder of documents, an empty folder and the time limit in seconds."""


def run_ours(documents: Path, work: Path, limit: float) -> Result:
    """Run our job."""
    command = job_command(documents, work / "out")
    seconds, _ = run_command(command, limit=limit, folder=work)
    dropped = pq.read_table(work / "out" / "duplicates", columns=["id"]).num_rows
    taken = "; ".join(f"{title} {step:.1f}" for title, step in dedup_documents.steps(work / "out"))
    return Result(seconds, dropped, taken)


def run_contestant(name: str) -> Measure:
    """Return a function that runs one of :data:`CONTESTANTS` in a process of its own."""

    def measure(documents: Path, work: Path, limit: float) -> Result:
        command = [sys.executable, "-m", "benchmarks.dedup_speed", "--contestant", name]
        command += ["--documents", str(documents), "--work", str(work)]
        seconds, printed = run_command(command, limit=limit, folder=work)
        line = next(line for line in printed.splitlines() if line.startswith("RESULT"))
        _, dropped, *details = line.split(maxsplit=2)
        return Result(seconds, int(dropped), "".join(details))

    return measure


def run_text_dedup(python: str) -> Measure:
    """Return a function that runs text-dedup's MinHash with an interpreter that has it."""

    def measure(documents: Path, work: Path, limit: float) -> Result:
        (work / "config.toml").write_text(
            f"""
            [input]
            input_type = "local_files"
            file_type = "parquet"
            [input.read_arguments]
            path = "parquet"
            data_files = "{documents}/*.parquet"
            split = "train"
            [algorithm]
            algorithm_name = "minhash"
            text_column = "text"
            num_perm = {BANDS * ROWS}
            bands = {BANDS}
            rows = {ROWS}
            threshold = {PARAMETERS.threshold}
            ngram_size = {SHINGLE}
            num_proc = 2
            [output]
            output_dir = "{work}/out"
            [debug]
            enable_profiling = false
            """
        )
        environment = {"HF_HOME": f"{work}/cache", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
        command = [python, "-m", "text_dedup.minhash"]
        seconds, _ = run_command(command, limit=limit, folder=work, environment=environment)
        files = list((work / "out").glob("*.arrow"))
        kept = sum(pa.ipc.open_stream(file).read_all().num_rows for file in files)
        return Result(seconds, count(documents) - kept)

    return measure


def count(documents: Path) -> int:
    """Return the number of documents in a folder."""
    return sum(pq.ParquetFile(file).metadata.num_rows for file in documents.glob("*.parquet"))


def datatrove(documents: Path, work: Path) -> tuple[int, str]:
    """Run datatrove's four stages. Return the number of dropped documents, and the seconds of the stages."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupFilter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    config = MinhashConfig(n_grams=SHINGLE, num_buckets=BANDS, hashes_per_bucket=ROWS)
    reader, files = ParquetReader(str(documents)), len(list(documents.glob("*.parquet")))
    signed, buckets, clusters, kept = (f"{work}/{name}" for name in ("signed", "buckets", "clusters", "kept"))
    stages: dict[str, tuple[list[Any], int]] = {
        "signatures": ([reader, MinhashDedupSignature(signed, config)], files),
        "buckets": ([MinhashDedupBuckets(signed, buckets, config=config)], BANDS),
        "clusters": ([MinhashDedupCluster(buckets, clusters, config)], 1),
        "filter": ([reader, MinhashDedupFilter(clusters), ParquetWriter(kept)], files),
    }
    taken = []
    for name, (steps, tasks) in stages.items():
        started = time.monotonic()
        LocalPipelineExecutor(steps, tasks=tasks, workers=2, logging_dir=f"{work}/logs/{name}").run()
        taken.append(f"{name} {time.monotonic() - started:.1f}")
    removed = sum(file.stat().st_size for file in Path(clusters).glob("*.remove")) // 4
    return removed, "; ".join(taken)


def datasketch(documents: Path, _: Path) -> tuple[int, str]:
    """Drop every document that shares a band with one that was kept."""
    lsh, dropped = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS)), 0
    for file in sorted(documents.glob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(columns=["id", "text"]):
            for name, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                signature = MinHash(BANDS * ROWS)
                signature.update_batch(list(string_shingles(text)))
                if lsh.query(signature):
                    dropped += 1
                else:
                    lsh.insert(name, signature, check_duplication=False)
    return dropped, ""


CONTESTANTS = {DATATROVE: datatrove, DATASKETCH: datasketch}


def string_shingles(text: str) -> set[bytes]:
    """Return the distinct 5-word shingles as bytes, as scripts with datasketch make them."""
    words = text.lower().split()
    return {" ".join(words[start : start + SHINGLE]).encode() for start in range(len(words) - SHINGLE + 1)}


def peers(options: argparse.Namespace) -> Iterator[tuple[str, Measure | str]]:
    """Yield each contestant's title, and how to run it or why it is left out."""
    yield f"{OURS}, with verification", run_ours
    missing = [NEEDED[name] for name in NEEDED if importlib.util.find_spec(name) is None]
    remedy = f"left out; `pip install {' '.join(missing)}`"
    title = f"{DATATROVE} {importlib.metadata.version('datatrove')}, 2 workers"
    yield title, remedy if missing else run_contestant(DATATROVE)
    yield text_dedup(options.text_dedup)
    version = importlib.metadata.version("datasketch")
    yield f"{DATASKETCH} {version}, plain script", run_contestant(DATASKETCH)


def text_dedup(python: str | None) -> tuple[str, Measure | str]:
    """Return text-dedup's title, and how to run it or why it is left out."""
    if python:
        version = "import importlib.metadata; print(importlib.metadata.version('text-dedup'))"
        found = subprocess.run([python, "-c", version], capture_output=True, text=True, check=True)
        return f"{TEXT_DEDUP} {found.stdout.strip()}, 2 processes", run_text_dedup(python)
    return TEXT_DEDUP, (
        f"left out; Python 3.12: `python -m venv peer && peer/bin/pip install {TEXT_DEDUP_SOURCE}`, then "
        "`--text-dedup peer/bin/python`"
    )


def compare(options: argparse.Namespace) -> Iterator[str]:
    """Yield a table for each size."""
    contestants = [*peers(options)]
    for size in (TINY, *options.sizes):
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            documents = Path(folder) / "documents"
            write_documents(documents, size)
            if size > TINY:
                yield from table(size, documents, contestants, options)
            elif fixed := attempt(run_ours, documents, options.work, options.max_seconds).seconds:
                yield f"Fixed cost: our job takes {fixed:.1f} s for {TINY} documents."


def attempt(measure: Measure, documents: Path, folder: Path | None, limit: float) -> Result:
    """Run a contestant in a folder of its own below ``folder``, for ``limit`` seconds at most."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        try:
            return measure(documents, Path(work), limit)
        except TimeLimitError:
            return Result(None, None)
        except CommandError as error:
            print(error, file=sys.stderr)
            return Result(None, None, "failed: " + str(error).partition(":")[0])


def table(
    size: int,
    documents: Path,
    contestants: Sequence[tuple[str, Measure | str]],
    options: argparse.Namespace,
) -> Iterator[str]:
    """Yield the table of one size; times relative to our job's."""
    yield from ("", f"## {size:,} documents", "")
    yield "| | seconds | µs / document | time / ours | dropped | seconds of steps |"
    yield "|---|--:|--:|--:|--:|---|"
    ours = 0.0
    for title, measure in contestants:
        if isinstance(measure, str):
            yield f"| {title} | {measure} | | | | |"
            continue
        limit = float(dict(options.stop).get(title.partition(" ")[0], options.max_seconds))
        result = attempt(measure, documents, options.work, limit)
        if result.seconds is None and result.details:
            yield f"| {title} | {result.details} | | | | |"
            continue
        over = "" if result.seconds else "more than "
        seconds = result.seconds or limit
        ours = ours or seconds
        dropped = f"{result.dropped:,}" if result.dropped is not None else "stopped"
        yield (
            f"| {title} | {over}{seconds:,.1f} | {over}{1e6 * seconds / size:,.0f} "
            f"| {over}{seconds / ours:.1f} | {dropped} | {result.details} |"
        )


def signature_rates() -> Iterator[str]:
    """Yield signatures per second of one core, median of several rounds, by processor time."""
    with tempfile.TemporaryDirectory() as folder:
        write_documents(Path(folder) / "documents", SIGNED)
        texts = pq.read_table(Path(folder) / "documents")["text"].to_pylist()
    shingled = [list(string_shingles(text)) for text in texts]
    strings = [[each.decode() for each in document] for document in shingled]
    words = normalized_words(texts)
    hashes = np.random.default_rng(1).integers(0, 1 << 63, sum(map(len, shingled)), np.uint64)
    ends = np.cumsum([0, *map(len, shingled)]).astype(np.uint64)
    permutations = BANDS * ROWS
    rates: dict[str, Callable[[], object]] = {
        "Gristmill: words, shingles, MinHash, keys": lambda: signatures(normalized_words(texts), PARAMETERS),
        "Gristmill: shingles, MinHash, keys": lambda: signatures(words, PARAMETERS),
        "rensa, hashes given": lambda: RMinHash.digest_matrix_from_flat_token_hashes(
            hashes, ends, permutations, SEED
        ).to_rows(),
        "rensa, shingles given as strings": lambda: RMinHash.digest_matrix_from_token_sets(
            strings, permutations, SEED
        ).to_rows(),
        "rensa, texts given": lambda: RMinHash.digest_matrix_from_token_sets(
            [[each.decode() for each in string_shingles(text)] for text in texts], permutations, SEED
        ).to_rows(),
        "datasketch, shingles given": lambda: MinHash.bulk(shingled[:200], num_perm=permutations),
        "datasketch, texts given": lambda: MinHash.bulk(
            map(string_shingles, texts[:200]), num_perm=permutations
        ),
    }
    yield from ("", "## Signatures per second of one core", "", "| | documents/s |", "|---|--:|")
    for title, function in rates.items():
        number = 200 if title.startswith(DATASKETCH) else len(texts)
        seconds = []
        for _ in range(ROUNDS):
            started = time.process_time()
            function()
            seconds.append(time.process_time() - started)
        yield f"| {title} | {number / statistics.median(seconds):,.0f} |"


def one_pass_share(files: Sequence[str]) -> Iterator[str]:
    """Yield the share of the processor time of the one pass that signatures and hashes take."""
    config = Config(input=InputConfig(paths=tuple(files)))
    spent: dict[str, float] = {}
    for name in ("normalized_words", "signatures", "normalized_hash", "exact_key"):
        setattr(record_processing, name, timed(getattr(record_processing, name), name, spent))
    shares = []
    for _ in range(ROUNDS + 1):  # models and lists are loaded in the first
        spent.clear()
        started, pages = processor_time(), 0
        for batch in record_processing.process_splits(plan_splits(config.input), config):
            pages += batch["keys"].is_valid().sum().as_py()
        guard(config.extraction).close()  # adds its time to that of ended child processes
        shares.append((processor_time() - started, dict(spent)))
    total, parts = sorted(shares[1:], key=lambda share: share[0])[ROUNDS // 2]
    yield from ("", "## Share of the one pass", "")
    listed = ", ".join(f"`{name}` {1000 * seconds / pages:.3f}" for name, seconds in parts.items())
    yield (
        f"{pages:,} pages with a text, {1000 * total / pages:.2f} ms each; {listed} ms: "
        f"**{sum(parts.values()) / total:.1%}** of the processor time (limit: 10 %)."
    )


def timed(function: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    """Return the function with its processor time added to ``spent``."""

    def wrapper(*arguments: Any) -> Any:
        started = time.process_time()
        result = function(*arguments)
        spent[name] = spent.get(name, 0.0) + time.process_time() - started
        return result

    return wrapper


def processor_time() -> float:
    """Return the processor time of this process and of its ended child processes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main(arguments: Sequence[str]) -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--text-dedup", metavar="PYTHON")
    parser.add_argument("--max-seconds", type=float, default=3600)
    parser.add_argument("--stop", action="append", default=[], nargs=2, metavar=("PEER", "SECONDS"))
    parser.add_argument("--signatures", action="store_true")
    parser.add_argument("--one-pass", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--work", type=Path, help="folder for documents and intermediate files")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--documents", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contestant:
        dropped, details = CONTESTANTS[options.contestant](options.documents, options.work)
        print(f"RESULT {dropped} {details}")
        return
    with options.output.open("w", encoding="utf-8") as page:
        for line in report(options):
            print(line, flush=True)
            print(line, file=page, flush=True)


def report(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Speed of near-duplicate removal"
    yield ""
    yield (
        f"`python benchmarks/dedup_speed.py` on {date.today()}, two cores, one run each, "
        f"{platform.machine()}, Python {platform.python_version()}, Spark "
        f"{importlib.metadata.version('pyspark')}, rensa {importlib.metadata.version('rensa')}. Documents "
        f"of {dedup_documents.WORDS} words, a tenth exact copies, a tenth near copies; {BANDS} bands of "
        f"{ROWS} rows, {SHINGLE}-word shingles. datatrove and text-dedup also write the documents that stay."
    )
    yield ""
    if options.sizes:
        yield from compare(options)
    if options.signatures:
        yield from signature_rates()
    if options.one_pass:
        yield from one_pass_share(options.one_pass)


if __name__ == "__main__":
    run(main)
