"""Repeated lines and passages of a corpus: what is cut, how much, in what time.

``python benchmarks/repeated_text.py --set 'input.paths=["pages.warc.gz"]' --set dedup.lines.min_documents=10
--set dedup.substrings.min_words=50 [--full FILE]`` extracts the records and removes duplicates
(``filters.preset`` is none unless set). Then it searches what stays for lines and for passages, each on its
own. Prints Markdown: characters before and after, seconds per 1,000 documents, and random samples. Of a line
it shows the beginning, with the number of documents; of a passage both ends, with the number of characters;
digits are shown as 0. ``--full FILE`` writes the samples in full, with what is next to them after the cut.
"""

import random
import re
import shlex
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks.repeated_text_scale import processor_seconds
from core import storage
from core.config import Config, DedupConfig, from_options, parser
from core.errors import run
from pipeline.dedup.cuts import LINES, SUBSTRINGS, Span, cut
from pipeline.spark import tables
from pipeline.spark.clean import clean
from pipeline.spark.dedup.cuts import find_cuts
from pipeline.spark.dedup.spans import CUTS
from pipeline.spark.session.builder import session

SAMPLES = 20
SHOWN = 30
"""Characters of a sample at each end."""
ROUNDS = 3
"""Timed runs, after one in which Spark compiles and Python workers start."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document and what is cut from it."""

    text: str
    spans: Sequence[Span]

    @property
    def rest(self) -> str:
        return cut(self.text, self.spans)

    @property
    def passages(self) -> list[str]:
        return [self.text[start:end] for start, end in self.spans]


def survivors(spark: SparkSession, config: Config, folder: str) -> DataFrame:
    """Extract the records, remove duplicates, and return the columns that :func:`find_cuts` takes."""
    dedup = DedupConfig.model_validate(config.dedup.model_dump(exclude={LINES, SUBSTRINGS}))
    output = config.output.model_copy(update={"path": folder})
    clean(spark, config.model_copy(update={"output": output, "dedup": dedup}))
    documents = spark.read.parquet(storage.spark_literal(f"{folder}/documents"))
    part = F.regexp_extract(F.input_file_name(), "[^/]+$", 0)
    return documents.select(part.alias("part"), "id", "text", "url", F.col("origin.path").alias("path"))


def measure(
    spark: SparkSession, texts: DataFrame, settings: DedupConfig, folder: str
) -> tuple[list[Document], list[float]]:
    """Return the documents, and the median seconds of the search, of the clock and of the processor."""
    seconds = []
    for _ in range(ROUNDS + 1):
        started, spent = time.monotonic(), processor_seconds()
        tables.write(find_cuts(spark, texts, settings, f"{folder}/work"), f"{folder}/cuts")
        seconds.append((time.monotonic() - started, processor_seconds() - spent))
    cuts = tables.read(spark, f"{folder}/cuts", CUTS)
    rows = texts.join(cuts, ["part", "id"], "left").select("text", "spans").orderBy("id").collect()
    documents = [Document(row["text"], [Span(*each) for each in row["spans"] or ()]) for row in rows]
    return documents, [statistics.median(each) for each in zip(*seconds[1:], strict=True)]


def table_row(reason: str, documents: Sequence[Document], seconds: Sequence[float]) -> str:
    """Return a row of the table: what was cut, and how long it took."""
    before = sum(len(each.text) for each in documents)
    after = sum(len(each.rest) for each in documents)
    changed = [each for each in documents if each.spans]
    counts = (
        len(documents),
        len(changed),
        sum(not each.rest for each in changed),
        sum(len(each.spans) for each in changed),
        before,
        after,
    )
    cells = " | ".join(f"{count:,}" for count in counts)
    share = (before - after) / max(before, 1)
    times = " | ".join(f"{1000 * each / max(len(documents), 1):.2f}" for each in seconds)
    return f"| {reason} | {cells} | {share:.1%} | {times} |"


def shorten(text: str, length: int) -> str:
    """Return the beginning of a text, or for a negative length the end, with digits as 0, in quotes."""
    return repr(re.sub(r"\d", "0", text[:length] if length > 0 else text[length:]))


def sample_lines(documents: Sequence[Document], drawn: random.Random) -> list[tuple[str, str]]:
    """Return random lines that are cut, shortened and in full, with their numbers of documents."""
    counts = Counter(line for each in documents for line in set(each.passages))
    lines = drawn.sample(sorted(counts), min(SAMPLES, len(counts)))
    return [(f"{counts[line]} × {shorten(line, 2 * SHOWN)}", line) for line in lines]


def sample_passages(documents: Sequence[Document], drawn: random.Random) -> list[tuple[str, str]]:
    """Return random passages that are cut, shortened and in full with the text before and after."""
    spans = [(each, span) for each in documents for span in each.spans]
    samples = []
    for document, (start, end) in drawn.sample(spans, min(SAMPLES, len(spans))):
        passage, text = document.text[start:end], document.text
        short = f"{len(passage)} characters: {shorten(passage, SHOWN)} … {shorten(passage, -SHOWN)}"
        around = text[max(start - 300, 0) : start], text[end : end + 300]
        samples.append((short, f"{around[0]}⟦{passage}⟧{around[1]}"))
    return samples


def main(arguments: Sequence[str]) -> None:
    """Print the table and the samples."""
    command_line = parser("Repeated lines and passages of a corpus.")
    command_line.add_argument("--full", type=Path, metavar="FILE", help="write the samples in full")
    options = command_line.parse_args(arguments)
    options.set.insert(0, "filters.preset=none")
    if not (config := from_options(options)):
        return
    spark = session(config, "repeated text")
    with tempfile.TemporaryDirectory() as folder:
        texts = survivors(spark, config, f"{folder}/run")
        print(f"\n`python benchmarks/repeated_text.py {shlex.join(sys.argv[1:])}`\n")
        columns = "documents | changed | emptied | spans | characters | after | cut | s / 1,000 | processor s"
        print(f"| | {columns} / 1,000 |\n|---|{'--:|' * 9}")
        shown = {}
        for reason, sample in ((LINES, sample_lines), (SUBSTRINGS, sample_passages)):
            settings = DedupConfig.model_validate(config.dedup.model_dump(include={reason}))
            documents, seconds = measure(spark, texts, settings, folder)
            print(table_row(reason, documents, seconds), flush=True)
            shown[reason] = sample(documents, random.Random(1))
    for reason, samples in shown.items():
        print(f"\n{len(samples)} of the {reason}, drawn at random:\n")
        print("\n".join(f"- {short}" for short, _ in samples))
    if options.full:
        options.full.write_text("\n\n=====\n".join(full for each in shown.values() for _, full in each))


if __name__ == "__main__":
    run(main)
