"""Time of the search for repeated lines and passages by size of the corpus.

``python benchmarks/repeated_text_scale.py 10000 100000 …`` generates documents of 250 words: three in ten
have one of three common lines, and one in ten quotes one of 1,000 passages of 150 words. In another corpus of
the largest size, every document quotes the same passage. Prints seconds per 1,000 documents, of the clock and
of the processor: this process, the JVM and its Python workers, read from ``/proc`` (Linux).
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from core.config import Config, DedupConfig
from core.errors import run
from pipeline.spark import tables
from pipeline.spark.dedup.cuts import find_cuts
from pipeline.spark.dedup.spans import CUTS
from pipeline.spark.session.builder import session

SETTINGS = DedupConfig.model_validate(
    {"lines": {"min_documents": 50, "min_hosts": 5}, "substrings": {"min_words": 50}}
)
WORDS, PASSAGES, ROWS_PER_FILE = 250, 1_000, 10_000
COMMON = ("Home | About us | Contact", "Accept all cookies", "All rights reserved.")


def generate(folder: Path, documents: int, passages: int, quoting: float) -> None:
    """Write documents of which a share quotes one of the passages."""
    random = np.random.default_rng(1)
    letters = random.integers(97, 123, (50_000, 9), dtype=np.uint8)
    vocabulary = [bytes(word[: 2 + index % 8]).decode() for index, word in enumerate(letters)]

    def words(number: int) -> list[str]:
        ranks: NDArray[np.int64] = random.zipf(1.2, number) % len(vocabulary)
        return [vocabulary[rank] for rank in ranks]

    quoted = [" ".join(words(150)) for _ in range(passages)]
    for file in range(0, documents, ROWS_PER_FILE):
        rows = []
        for number in range(file, min(file + ROWS_PER_FILE, documents)):
            drawn = words(WORDS)
            lines = [" ".join(drawn[start : start + 25]) for start in range(0, WORDS, 25)]
            if random.random() < quoting:
                lines[4:9] = [f"{lines[4]} {quoted[random.integers(passages)]}"]  # not a line of its own
            if random.random() < 0.3:
                lines.insert(0, COMMON[number % len(COMMON)])
            name, url = f"{random.integers(2**62):032x}", f"http://host-{random.integers(500)}.org/{number}"
            rows.append({"id": name, "text": "\n".join(lines), "url": url, "path": "generated"})
        pq.write_table(pa.Table.from_pylist(rows), folder / f"part-{file:08d}.parquet")


def processor_seconds() -> float:
    """Return the processor time of this process and its descendants, ended ones included."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # the process has ended
            continue
        parents[int(stat.parent.name)] = int(fields[1])
        ticks[int(stat.parent.name)] = sum(map(int, fields[11:15]))

    def is_ours(process: int) -> bool:
        while process and process != os.getpid():
            process = parents.get(process, 0)
        return bool(process)

    return sum(each for process, each in ticks.items() if is_ours(process)) / os.sysconf("SC_CLK_TCK")


def measure(spark: SparkSession, title: str, documents: int, passages: int, quoting: float) -> None:
    """Generate a corpus, search it and print a row."""
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder), documents, passages, quoting)
        part = F.regexp_extract(F.input_file_name(), "[^/]+$", 0)
        texts = spark.read.parquet(folder).withColumn("part", part)
        started, spent = time.monotonic(), processor_seconds()
        tables.write(find_cuts(spark, texts, SETTINGS, f"{folder}.work"), f"{folder}.cuts")
        clock, processor = time.monotonic() - started, processor_seconds() - spent
        cuts = tables.read(spark, f"{folder}.cuts", CUTS)
        counts = {row["reason"]: row["count"] for row in cuts.groupBy("reason").count().collect()}
    per_thousand = f"{1000 * clock / documents:.2f} | {1000 * processor / documents:.2f}"
    cells = f"{counts.get('lines', 0):,} | {counts.get('substrings', 0):,} | {per_thousand}"
    print(f"| {title} | {documents:,} | {cells} |", flush=True)


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    sizes = [int(argument) for argument in arguments] or [10_000]
    spark = session(Config(), "repeated text by size")
    print("| corpus | documents | with cut lines | with cut passages | s / 1,000 | processor s / 1,000 |")
    print("|---|--:|--:|--:|--:|--:|")
    measure(spark, "first run, discarded", 1_000, PASSAGES, 0.1)
    for documents in sizes:
        measure(spark, "one in ten quotes", documents, PASSAGES, 0.1)
    measure(spark, "all quote the same", sizes[-1], 1, 1.0)


if __name__ == "__main__":
    run(main)
