"""FineWeb's recipe from raw pages to judged documents: ours beside datatrove, on one core.

``python benchmarks/clean_throughput.py PAGES.warc.gz…`` runs both over the same files, each in a process of
its own on one core. datatrove goes through the steps of its ``examples/fineweb.py``: read, address, extract,
language, Gopher's repetition and quality, C4, FineWeb, JSON lines. Ours takes the same measures of every page
that has text, dropped or not, toxicity, personal data and the MinHash signature besides, and writes Parquet;
once with its own extractor, once with Resiliparse. The processor's time counts, that of extraction processes
included; what a run over the first few records takes (loading models and lists) is taken off.

datatrove needs ``spacy``, ``faust-cchardet``, ``python-magic`` and its library, ``tldextract``,
``fasteners``, ``pyahocorasick`` and ``orjson``. Its language model is replaced by the compressed one that we
ship: the same languages, and faster.
Writes ``benchmarks/results/clean_throughput.md``.
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
from collections.abc import Callable, Sequence
from datetime import date
from importlib import resources
from pathlib import Path

import pyarrow.parquet as pq
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

from core.config import Config, ExtractionConfig, InputConfig
from core.errors import run
from pipeline.readers.inputs import plan_splits
from pipeline.spark import record_processing

RESULTS = Path(__file__).parent / "results" / "clean_throughput.md"
FIRST = 12
"""Records of the run that is taken off."""
PEER = "datatrove"


def ours(method: str, files: Sequence[str], folder: Path) -> int:
    """The job's single pass, without Spark. Documents kept."""
    config = Config(input=InputConfig(paths=tuple(files)), extraction=ExtractionConfig(method=method))  # type: ignore[arg-type]
    kept = 0
    with pq.ParquetWriter(folder / "documents.parquet", record_processing.schema()) as writer:
        for batch in record_processing.process_splits(plan_splits(config.input), config):
            writer.write_batch(batch)
            kept += batch["reason"].null_count - batch["error"].is_valid().sum().as_py()
    return kept


def datatrove(files: Sequence[str], folder: Path) -> int:
    """The steps of its own example. Documents kept."""
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
    from datatrove.pipeline.readers import WarcReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils import _import_utils
    from datatrove.utils.lid import FT176LID

    # It insists on another distribution of the same fastText.
    _import_utils._is_distribution_available = lambda _: True
    model = resources.files("pipeline.filters").joinpath("models/lid.176.ftz")
    FT176LID.MODEL_URL = str(model)  # type: ignore[assignment]
    sources = folder / "sources"
    sources.mkdir()
    for place, file in enumerate(files):
        (sources / f"{place}.warc.gz").symlink_to(Path(file).resolve())
    writer = JsonlWriter(str(folder / "kept"), compression=None)
    LocalPipelineExecutor(
        pipeline=[
            WarcReader(str(sources), glob_pattern="*.warc.gz"),
            URLFilter(),
            Trafilatura(favour_precision=True, timeout=10.0),
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


def contest(name: str, files: Sequence[str]) -> None:
    """In a process of its own: print documents kept, and seconds of processor time of it and its children."""
    with tempfile.TemporaryDirectory() as folder:
        kept = CONTESTANTS[name](files, Path(folder))
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"RESULT {kept} {time.process_time() + children.ru_utime + children.ru_stime}")


def measure(name: str, files: Sequence[str]) -> tuple[int, float]:
    """Documents kept and seconds."""
    command = ["taskset", "-c", "0", sys.executable, __file__, "--contestant", name, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    _, kept, seconds = next(line for line in done.stdout.splitlines() if line.startswith("RESULT")).split()
    return int(kept), float(seconds)


def first_records(file: str, copy: Path) -> str:
    """A file with the first responses of another."""
    with Path(file).open("rb") as stream, copy.open("wb") as out:
        writer, count = WARCWriter(out, gzip=True), 0
        for record in ArchiveIterator(stream):
            if count == FIRST:
                break
            count += record.rec_type == "response"
            writer.write_record(record)
    return str(copy)


def responses(files: Sequence[str]) -> int:
    """Pages in the files."""
    count = 0
    for file in files:
        with Path(file).open("rb") as stream:
            count += sum(record.rec_type == "response" for record in ArchiveIterator(stream))
    return count


def main(arguments: Sequence[str]) -> None:
    """Run both and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contestant", choices=CONTESTANTS)
    options = parser.parse_args(arguments)
    if options.contestant:
        contest(options.contestant, options.files)
        return
    pages = responses(options.files)
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        small = first_records(options.files[0], Path(folder) / "first.warc.gz")
        for _ in range(options.rounds):
            for name in CONTESTANTS:
                _, startup = measure(name, [small])
                kept[name], whole = measure(name, options.files)
                seconds[name].append(whole - startup)
    speeds = {name: (pages - FIRST) / statistics.median(each) for name, each in seconds.items()}
    rows = [
        f"| {NAMES[name]} | {kept[name]:,} | {speeds[name]:.1f} | {1000 / speeds[name]:.1f} "
        f"| {speeds[name] / speeds[PEER]:.1f} |"
        for name in CONTESTANTS
    ]
    names = " ".join(Path(file).name for file in options.files)
    page = [
        "# FineWeb's recipe, from WARC to judged documents",
        "",
        f"`python benchmarks/clean_throughput.py {names}` on {date.today()}: {pages:,} pages, one core, "
        f"median of {options.rounds} rounds of processor time, {platform.machine()}, "
        f"Python {platform.python_version()}.",
        "Ours measures toxicity, personal data and MinHash as well, and every page whatever becomes of it.",
        "",
        "| | kept | pages/s | ms a page | speed / datatrove |",
        "|---|--:|--:|--:|--:|",
        *rows,
        "",
    ]
    RESULTS.write_text("\n".join(page), encoding="utf-8")
    print("\n".join(page))


if __name__ == "__main__":
    run(main)
