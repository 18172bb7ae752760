"""Speed from documents to token shards, beside datatrove's ``DocumentTokenizer`` and the bare tokenizer.

``python benchmarks/packing.py RUN [--documents N]`` writes N documents with texts of a run, over and over
with ids of their own, to eight Parquet files, and trains a tokenizer of 32,000 tokens on every second text.
On two cores take turns in every round:

- *ours*: ``spark-submit jobs/pack.py`` encodes, divides into splits, packs rows of 2,049 tokens with the
  spans of their documents, hashes and publishes;
- *datatrove*: ``ParquetReader`` and ``DocumentTokenizer``, in two processes, encode, shuffle the documents
  of a file, write tokens and the ends of documents; they have the same tokenizer as ``tokenizer.json``;
- *bare tokenizer*: the library that the tokenizer is made with, in two processes, from texts in memory to
  lists of ids that are thrown away.

Tokens per second and core, medians. Our job for 100 documents, most of it the start of Spark, takes its turn
too; its median is stated and taken off in the column *without start*.
Writes ``benchmarks/results/packing.md``.
"""

import argparse
import importlib.metadata
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dedup_documents import run_command
from benchmarks.tokenizer import batches, library, read
from core import manifest
from core.config import TokenizerConfig
from core.errors import run
from core.manifest import Manifest
from core.stage import Stage
from core.tokenizer import STAGE as TOKENIZER
from core.tokenizer import publish, train
from pipeline.document import schema, text_hash

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "packing.md"
CORES, FILES, TINY = 2, 8, 100
VOCABULARY = 32_000
LIMIT = 3600

Seconds = Callable[[Path], tuple[float, int]]
"""Measures a contestant, given a run's folder: seconds and tokens."""


def write_run(out: Path, texts: Sequence[str], count: int, kind: Any) -> None:
    """Write ``count`` documents with these texts, and a tokenizer, as a finished run."""
    (out / "documents").mkdir(parents=True)
    for part in range(FILES):
        numbers = range(part, count, FILES)
        rows = [
            {
                "id": text_hash(str(number)),
                "text": texts[number % len(texts)],
                "source": "web",
                "language": "en",
            }
            for number in numbers
        ]
        table = pa.Table.from_pylist(rows, schema=schema())
        pq.write_table(table, out / "documents" / f"part-{part}.parquet")
    facts = {"corpus": text_hash(f"{count} documents")}
    counts = {"kept": count}
    made = Manifest(stage="clean", fingerprint="", config={}, inputs=[], counts=counts, files=[], facts=facts)
    manifest.publish(str(out), made)
    tokenizer = train(texts[::2], TokenizerConfig(kind=kind, vocabulary_size=VOCABULARY))
    publish(tokenizer, Stage(TOKENIZER, str(out / "tokenizer")), {"kind": kind})


def ours(out: Path) -> tuple[float, int]:
    """Run our job and remove its output."""
    submit = Path(sys.executable).with_name("spark-submit")
    command = [str(submit), "--master", f"local[{CORES}]", "--driver-memory", "2g"]
    command += [str(REPOSITORY / "jobs/pack.py"), "--set", f"output.path={out}"]
    with tempfile.TemporaryDirectory(dir=out) as work:
        seconds, _ = run_command([*command, "--set", "output.overwrite=true"], limit=LIMIT, folder=Path(work))
    done = json.loads((out / "shards/manifest.json").read_text())
    (out / "shards/manifest.json").unlink()
    return seconds, int(done["counts"]["tokens"])


def datatrove(out: Path) -> tuple[float, int]:
    """Run datatrove in a process of its own."""
    with tempfile.TemporaryDirectory(dir=out) as work:
        command = [sys.executable, "-m", "benchmarks.packing", str(out), "--datatrove", work]
        seconds, _ = run_command(command, limit=LIMIT, folder=Path(work))
        return seconds, sum(file.stat().st_size for file in Path(work).rglob("*.ds")) // 2


def run_datatrove(out: Path, work: str) -> None:
    """Tokenize the documents of a run as its users do."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    tokenizer = DocumentTokenizer(
        f"{work}/tokens", f"{out}/tokenizer/tokenizer.json", eos_token="</s>", save_final_metadata=False
    )
    steps = [ParquetReader(f"{out}/documents"), tokenizer]
    LocalPipelineExecutor(steps, tasks=FILES, workers=CORES, logging_dir=f"{work}/logs").run()


def bare(out: Path) -> tuple[float, int]:
    """Encode the texts of the documents, with one thread in each of two processes."""
    with ProcessPoolExecutor(CORES) as pool:
        parts = list(pool.map(_encode, [out] * CORES, range(CORES)))
    return max(seconds for seconds, _ in parts), sum(tokens for _, tokens in parts)


def _encode(out: Path, part: int) -> tuple[float, int]:
    encode = library(str(out / "tokenizer"))
    files = sorted((out / "documents").glob("*.parquet"))[part::CORES]
    texts = [text for file in files for text in pq.read_table(file, columns=["text"])["text"].to_pylist()]
    start = time.perf_counter()
    tokens = sum(len(ids) for batch in batches(texts) for ids in encode(batch))
    return time.perf_counter() - start, tokens


def measure(kind: Any, texts: Sequence[str], count: int, rounds: int) -> list[str]:
    """Return the rows of the table for a kind of tokenizer."""
    contestants: dict[str, Seconds] = {
        "Gristmill": ours,
        f"datatrove {importlib.metadata.version('datatrove')}": datatrove,
        "bare tokenizer": bare,
    }
    found: dict[str, list[float]] = {name: [] for name in contestants}
    tokens: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        out, tiny = Path(folder, "run"), Path(folder, "tiny")
        write_run(out, texts, count, kind)
        write_run(tiny, texts, TINY, kind)
        starts: list[float] = []
        for number in range(rounds):
            starts.append(ours(tiny)[0])
            for name, contestant in contestants.items():
                print(f"{kind}, round {number + 1}: {name}", file=sys.stderr, flush=True)
                seconds, tokens[name] = contestant(out)
                found[name].append(seconds)
    middle = {name: statistics.median(each) for name, each in found.items()}
    start = statistics.median(starts)
    limit = tokens["bare tokenizer"] / middle["bare tokenizer"]
    lines = []
    for name, seconds in middle.items():
        rate, net = tokens[name] / seconds, ""
        if name == "Gristmill":
            without = tokens[name] / (seconds - start)
            net = f"{without / CORES / 1e6:.2f} M, {without / limit:.2f} (start {start:.1f} s)"
        lines.append(
            f"| `{kind}` | {name} | {tokens[name]:,} | {seconds:.1f} | {rate / CORES / 1e6:.2f} M "
            f"| {rate / limit:.2f} | {net} |"
        )
    return lines


def main(arguments: Sequence[str]) -> None:
    """Measure the kinds of tokenizers in turn and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", metavar="RUN", help="folder of a run with documents")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--kinds", nargs="+", default=["bpe", "byte-bpe"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--datatrove", metavar="WORK", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.datatrove:
        run_datatrove(Path(options.run), options.datatrove)
        return
    texts = read(options.run)
    lines = [
        "# Speed from documents to token shards",
        "",
        f"`python benchmarks/packing.py`, {date.today()}, two cores, medians of {options.rounds} rounds, "
        f"{platform.machine()}, Python {platform.python_version()}. {options.documents:,} documents with "
        f"{len(texts):,} texts.",
        "",
        "| tokenizer | | tokens | seconds | tokens/s and core | of the bare tokenizer | without start |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for kind in options.kinds:
        lines += measure(kind, texts, options.documents, options.rounds)
    text = "\n".join(lines) + "\n"
    print(text)
    options.output.write_text(text)


if __name__ == "__main__":
    run(main)
