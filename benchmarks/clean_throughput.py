"""Throughput of FineWeb's recipe from raw pages to filtered documents, compared with datatrove on one core.

``python benchmarks/clean_throughput.py PAGES.warc.gz…`` runs both over the same files, each in its own
process on one core; ``TEXTS.jsonl…`` instead, files of JSON lines with a ``text`` and a ``url``, leaves out
extraction on both sides. datatrove runs the steps of its ``examples/fineweb.py``: read, URL, extract,
language, Gopher's repetition and quality, C4, FineWeb, JSON lines. Gristmill computes the same metrics for
each document, dropped or not, and also toxicity, personal data and the MinHash signature, and writes Parquet;
pages once with its own extractor, once with Resiliparse. CPU time is measured, including extraction
processes, minus that of a run over the first few records (loading models and lists).

datatrove requires ``spacy``, ``faust-cchardet``, ``python-magic`` and its library, ``tldextract``,
``fasteners``, ``pyahocorasick`` and ``orjson``. Its language model is replaced by the compressed one of this
package, which has the same languages and is faster.
Writes ``benchmarks/results/clean_throughput.md`` or ``clean_throughput_texts.md``.
"""

import argparse
import importlib.metadata
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib import resources
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

from core.config import Config, ExtractionConfig, InputConfig
from core.errors import run
from pipeline.readers.inputs import plan_splits
from pipeline.spark import record_processing

RESULTS = Path(__file__).parent / "results"
WARMUP = 12
"""Records of the run that is subtracted."""
PEER = "datatrove"


def ours(method: str, files: Sequence[str], folder: Path) -> int:
    """Run the job's single pass without Spark. Return the number of documents kept."""
    config = Config(input=InputConfig(paths=tuple(files)), extraction=ExtractionConfig(method=method))
    kept = 0
    with pq.ParquetWriter(folder / "documents.parquet", record_processing.schema()) as writer:
        for batch in record_processing.process_splits(plan_splits(config.input), config):
            writer.write_batch(batch)
            kept += batch["reason"].null_count - batch["error"].is_valid().sum().as_py()
    return kept


def datatrove(files: Sequence[str], folder: Path) -> int:
    """Run the steps of datatrove's own example. Return the number of documents kept."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.extractors import Trafilatura
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
        LanguageFilter,
        URLFilter,
    )
    from datatrove.pipeline.readers import JsonlReader, WarcReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils import _import_utils
    from datatrove.utils.lid import FT176LID

    # datatrove requires another distribution of the same fastText.
    _import_utils._is_distribution_available = lambda _: True
    model = resources.files("pipeline.filters").joinpath("models/lid.176.ftz")
    FT176LID.MODEL_URL = str(model)
    sources = folder / "sources"
    sources.mkdir()
    for index, file in enumerate(files):
        (sources / f"{index}-{Path(file).name}").symlink_to(Path(file).resolve())
    writer = JsonlWriter(str(folder / "kept"), compression=None)
    extraction = [] if are_texts(files) else [Trafilatura(favour_precision=True, timeout=10.0)]
    LocalPipelineExecutor(
        pipeline=[
            (JsonlReader if are_texts(files) else WarcReader)(str(sources)),
            URLFilter(),
            *extraction,
            LanguageFilter(),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
            writer,
        ],
        tasks=1,
        workers=1,
        logging_dir=str(folder / "logs"),
    ).run()
    return sum(len(file.read_text().splitlines()) for file in (folder / "kept").glob("*.jsonl"))


CONTESTANTS: dict[str, Callable[[Sequence[str], Path], int]] = {
    "default": lambda files, folder: ours("default", files, folder),
    "resiliparse": lambda files, folder: ours("resiliparse", files, folder),
    PEER: datatrove,
}
NAMES = {
    "default": "Gristmill, its own extractor",
    "resiliparse": "Gristmill, Resiliparse",
    PEER: f"datatrove {importlib.metadata.version('datatrove')}, trafilatura",
}


def are_texts(files: Sequence[str]) -> bool:
    """True if the files hold extracted texts, not pages."""
    return all(file.endswith(".jsonl") for file in files)


def contest(name: str, files: Sequence[str]) -> None:
    """Run one contestant and print documents kept and the CPU seconds of this process and its children."""
    with tempfile.TemporaryDirectory() as folder:
        kept = CONTESTANTS[name](files, Path(folder))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"RESULT {kept} {time.process_time() + children.ru_utime + children.ru_stime}")


def measure(name: str, files: Sequence[str]) -> tuple[int, float]:
    """Run one contestant in its own process. Return documents kept and CPU seconds."""
    command = ["taskset", "-c", "0", sys.executable, __file__, "--contestant", name, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, kept, seconds = next(line for line in done.stdout.splitlines() if line.startswith("RESULT")).split()
    return int(kept), float(seconds)


def copy_first_records(file: str, copy: Path) -> str:
    """Write a copy with the first responses or texts only and return its path."""
    if are_texts([file]):
        with Path(file).open("rb") as stream:
            copy.write_bytes(b"".join(islice(stream, WARMUP)))
        return str(copy)
    with Path(file).open("rb") as stream, copy.open("wb") as out:
        writer, count = WARCWriter(out, gzip=True), 0
        for record in ArchiveIterator(stream):
            if count == WARMUP:
                break
            count += record.rec_type == "response"
            writer.write_record(record)
    return str(copy)


def count_documents(files: Sequence[str]) -> int:
    """Count the pages or texts in the files."""
    count = 0
    for file in files:
        with Path(file).open("rb") as stream:
            if are_texts(files):
                count += sum(1 for _ in stream)
            else:
                count += sum(record.rec_type == "response" for record in ArchiveIterator(stream))
    return count


def main(arguments: Sequence[str]) -> None:
    """Run all contestants and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestant", choices=CONTESTANTS)
    options = parser.parse_args(arguments)
    if options.contestant:
        contest(options.contestant, options.files)
        return
    names = ["default", PEER] if are_texts(options.files) else list(CONTESTANTS)
    documents = count_documents(options.files)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        suffix = "jsonl" if are_texts(options.files) else "warc.gz"
        small = copy_first_records(options.files[0], Path(folder) / f"first.{suffix}")
        for _ in range(options.rounds):
            for name in names:
                _, startup = measure(name, [small])
                kept[name], total = measure(name, options.files)
                seconds[name].append(total - startup)
    speeds = {name: (documents - WARMUP) / statistics.median(each) for name, each in seconds.items()}
    page = describe(options, documents, kept, speeds)
    file = "clean_throughput_texts.md" if are_texts(options.files) else "clean_throughput.md"
    (RESULTS / file).write_text(page, encoding="utf-8")
    print(page)


def describe(
    options: argparse.Namespace, documents: int, kept: Mapping[str, int], speeds: Mapping[str, float]
) -> str:
    """Return the page of results."""
    texts = are_texts(options.files)
    labels = {name: NAMES[name].partition(",")[0] if texts else NAMES[name] for name in speeds}
    rows = [
        f"| {labels[name]} | {kept[name]:,} | {speed:.1f} | {1000 / speed:.2f} | {speed / speeds[PEER]:.1f} |"
        for name, speed in speeds.items()
    ]
    files = " ".join(Path(file).name for file in options.files)
    title = "from texts to filtered documents" if texts else "from WARC to filtered documents"
    return "\n".join(
        [
            f"# FineWeb's recipe, {title}",
            "",
            f"`python benchmarks/clean_throughput.py {files}` on {date.today()}: {documents:,} "
            f"{'texts' if texts else 'pages'}, one core, median CPU time of {options.rounds} rounds, "
            f"{platform.machine()}, Python {platform.python_version()}.",
            "Gristmill also measures toxicity, personal data and MinHash, for each document, dropped or not.",
            "",
            "| | kept | documents/s | ms a document | speed / datatrove |",
            "|---|--:|--:|--:|--:|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    run(main)
