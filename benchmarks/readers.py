"""How fast archives are read on one core, beside FastWARC and warcio, and dumps of wikis beside mwxml.

``python benchmarks/readers.py [--rounds N] PATH…`` for WARC files and dumps (``.xml…``). All readers go
through the same file in turn, ``N`` rounds (default 7), in one process; what counts is the median of the
processor time. FastWARC raw and warcio meet every record, parse its HTTP header and read its body, codings
undone. Ours does so for pages, which it tells from what is none, checks every member's framing and checksum,
and yields items. The tables go to the screen and to ``benchmarks/results/readers.md``.
"""

import argparse
import bz2
import gzip
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

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


def ours(path: Path) -> int:
    """The records of a file, by our reader."""
    return sum(1 for _ in read(InputSplit(str(path), path.name, "warc", "", 0, path.stat().st_size)))


def fastwarc_raw(path: Path) -> int:
    """The records of a file, by FastWARC alone."""
    count = 0
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, parse_http=True, auto_decode="all"):
            record.reader.read()
            count += 1
    return count


def warcio(path: Path) -> int:
    """The records of a file, by warcio."""
    count = 0
    with path.open("rb") as stream:
        for record in WarcioIterator(stream):
            record.content_stream().read()
            count += 1
    return count


def pages(path: Path) -> int:
    """The pages of a dump, by our reader."""
    return sum(1 for _ in read(InputSplit(str(path), path.name, "wikipedia", "", 0, path.stat().st_size)))


def articles(path: Path) -> int:
    """The pages of a dump, and the prose of those that are articles."""
    items = list(read(InputSplit(str(path), path.name, "wikipedia", "", 0, path.stat().st_size)))
    for item in items:
        if isinstance(item, Record):
            extract(item, ExtractionConfig())
    return len(items)


def mwxml(path: Path) -> int:
    """The pages of a dump, with the text of each revision, by mwxml."""
    opened = {".bz2": bz2.open, ".gz": gzip.open}.get(path.suffix, open)
    with opened(path, "rb") as stream:
        return sum(1 for page in Dump.from_file(stream) if [revision.text for revision in page])


def medians(readers: Sequence[Callable[[Path], int]], path: Path, rounds: int) -> list[tuple[int, float]]:
    """For each reader the records it finds and the median of its seconds; the readers take turns."""
    counts = [reader(path) for reader in readers]
    seconds: list[list[float]] = [[] for _ in readers]
    for _ in range(rounds):
        for reader, taken in zip(readers, seconds, strict=True):
            start = time.process_time()
            reader(path)
            taken.append(time.process_time() - start)
    return list(zip(counts, map(statistics.median, seconds), strict=True))


def warc_table(paths: Sequence[Path], rounds: int) -> str:
    """A Markdown table: every file by every reader."""
    rows = [
        "| file | reader | records | records/s | MB/s stored | MB/s content | speed / FastWARC raw |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    names = ["ours", f"FastWARC {version('fastwarc')} raw", f"warcio {version('warcio')}"]
    for path in paths:
        with path.open("rb") as stream:
            content = sum(map(len, blocks(stream))) / MB
        stored = path.stat().st_size / MB
        measured = medians([ours, fastwarc_raw, warcio], path, rounds)
        for name, (count, seconds) in zip(names, measured, strict=True):
            rows.append(
                f"| {path.name} | {name} | {count:,} | {count / seconds:,.0f} | {stored / seconds:,.0f} "
                f"| {content / seconds:,.0f} | {measured[1][1] / seconds:.2f} |"
            )
    return "\n".join(rows)


def wikipedia_table(paths: Sequence[Path], rounds: int) -> str:
    """A Markdown table: every dump by every reader, and by ours with the wikitext made prose."""
    rows = ["| file | reader | pages | pages/s | speed / mwxml |", "|---|---|--:|--:|--:|"]
    names = ["ours", "ours, with prose", f"mwxml {version('mwxml')}"]
    for path in paths:
        measured = medians([pages, articles, mwxml], path, rounds)
        for name, (count, seconds) in zip(names, measured, strict=True):
            ratio = measured[2][1] / seconds
            rows.append(f"| {path.name} | {name} | {count:,} | {count / seconds:,.0f} | {ratio:.2f} |")
    return "\n".join(rows)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(description="Readers side by side, on one core.")
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--rounds", type=int, default=7)
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
    RESULTS.write_text("\n".join([f"# Readers side by side\n\n`{command}`, one core.\n", *parts]))


if __name__ == "__main__":
    run(main)
