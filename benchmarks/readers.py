"""Reading speed on one core: WARC files compared with FastWARC and warcio, wiki dumps compared with mwxml.

``python benchmarks/readers.py [--rounds N] PATH…`` with WARC files and dumps (``.xml…``). All readers read
the same file in turn, ``N`` rounds (default 7), in one process; the median of the CPU time is reported.
FastWARC and warcio iterate over all records, parse the HTTP header and read the decoded body. Gristmill does
so for pages only, checks framing and checksum of every gzip member, and yields items. The tables are printed
and written to ``benchmarks/results/readers.md``.
"""

import argparse
import bz2
import gzip
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO

from fastwarc.warc import ArchiveIterator
from mwxml import Dump
from warcio.archiveiterator import ArchiveIterator as WarcioIterator

from core.config import ExtractionConfig
from core.errors import run
from pipeline.extraction import extract
from pipeline.readers import read
from pipeline.readers.compressed import blocks
from pipeline.readers.record import InputSplit, Record

RESULTS = Path(__file__).parent / "results/readers.md"
MB = 1_000_000


def gristmill_warc(path: Path) -> int:
    """Count the records of a WARC file with Gristmill."""
    return sum(1 for _ in read(InputSplit(str(path), path.name, "warc", "", 0, path.stat().st_size)))


def fastwarc_raw(path: Path) -> int:
    """Count the records of a WARC file with FastWARC alone."""
    count = 0
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, parse_http=True, auto_decode="all"):
            record.reader.read()
            count += 1
    return count


def warcio(path: Path) -> int:
    """Count the records of a WARC file with warcio."""
    count = 0
    with path.open("rb") as stream:
        for record in WarcioIterator(stream):
            record.content_stream().read()
            count += 1
    return count


def gristmill_dump(path: Path) -> int:
    """Count the pages of a dump with Gristmill."""
    return sum(1 for _ in read(InputSplit(str(path), path.name, "wikipedia", "", 0, path.stat().st_size)))


def gristmill_dump_with_prose(path: Path) -> int:
    """Count the pages of a dump with Gristmill, converting articles to prose."""
    items = list(read(InputSplit(str(path), path.name, "wikipedia", "", 0, path.stat().st_size)))
    for item in items:
        if isinstance(item, Record):
            extract(item, ExtractionConfig())
    return len(items)


def mwxml(path: Path) -> int:
    """Count the pages of a dump with mwxml, reading the text of each revision."""
    with _open_dump(path) as stream:
        return sum(1 for page in Dump.from_file(stream) if [revision.text for revision in page])


def _open_dump(path: Path) -> IO[bytes] | gzip.GzipFile:
    match path.suffix:
        case ".bz2":
            return bz2.open(path)
        case ".gz":
            return gzip.open(path)
        case _:
            return path.open("rb")


def medians(readers: Sequence[Callable[[Path], int]], path: Path, rounds: int) -> list[tuple[int, float]]:
    """Return each reader's number of records and median CPU seconds; readers alternate in each round."""
    counts = [reader(path) for reader in readers]
    seconds: list[list[float]] = [[] for _ in readers]
    for _ in range(rounds):
        for reader, timings in zip(readers, seconds, strict=True):
            start = time.process_time()
            reader(path)
            timings.append(time.process_time() - start)
    return list(zip(counts, map(statistics.median, seconds), strict=True))


def warc_table(paths: Sequence[Path], rounds: int) -> str:
    """Return a Markdown table with every file and reader."""
    rows = [
        "| file | reader | records | records/s | MB/s stored | MB/s content | speed / FastWARC raw |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    names = ["Gristmill", f"FastWARC {version('fastwarc')} raw", f"warcio {version('warcio')}"]
    for path in paths:
        with path.open("rb") as stream:
            content = sum(map(len, blocks(stream))) / MB
        stored = path.stat().st_size / MB
        measured = medians([gristmill_warc, fastwarc_raw, warcio], path, rounds)
        for name, (count, seconds) in zip(names, measured, strict=True):
            rows.append(
                f"| {path.name} | {name} | {count:,} | {count / seconds:,.0f} | {stored / seconds:,.0f} "
                f"| {content / seconds:,.0f} | {measured[1][1] / seconds:.2f} |"
            )
    return "\n".join(rows)


def wikipedia_table(paths: Sequence[Path], rounds: int) -> str:
    """Return a Markdown table with every dump and reader, and with Gristmill also converting wikitext."""
    rows = ["| file | reader | pages | pages/s | speed / mwxml |", "|---|---|--:|--:|--:|"]
    names = ["Gristmill", "Gristmill, with prose", f"mwxml {version('mwxml')}"]
    for path in paths:
        measured = medians([gristmill_dump, gristmill_dump_with_prose, mwxml], path, rounds)
        for name, (count, seconds) in zip(names, measured, strict=True):
            ratio = measured[2][1] / seconds
            rows.append(f"| {path.name} | {name} | {count:,} | {count / seconds:,.0f} | {ratio:.2f} |")
    return "\n".join(rows)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description="Compare the speed of readers on one core.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="WARC file or wiki dump")
    parser.add_argument("--rounds", type=int, default=7, help="number of timed rounds (default: 7)")
    options = parser.parse_args(arguments)
    dumps = [path for path in options.paths if ".xml" in path.suffixes]
    archives = [path for path in options.paths if path not in dumps]
    tables = {"WARC": (warc_table, archives), "Wikipedia": (wikipedia_table, dumps)}
    parts = [
        f"## {name}\n\n{table(paths, options.rounds)}\n" for name, (table, paths) in tables.items() if paths
    ]
    names = " ".join(path.name for path in options.paths)
    command = f"python benchmarks/readers.py --rounds {options.rounds} {names}"
    print(*parts, sep="\n")
    RESULTS.write_text("\n".join([f"# Reading speed\n\n`{command}`, one core.\n", *parts]))


if __name__ == "__main__":
    run(main)
