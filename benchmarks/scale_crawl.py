"""Write a crawl of any size with known duplicates, from a few real pages.

``python benchmarks/scale_crawl.py PAGES.warc.gz… --output FOLDER --gigabytes 10 [--file-gigabytes 1]`` writes
WARC files as Common Crawl does: for each page a request, a response and a metadata record, every record a
gzip member. Each page is a version of a real one with other words (``scale_pages.py``). A share of the pages
are copies of others, in groups of known size, half of them exact and half near copies; a group is spread over
all files. The parameter ``gm=GROUP-COPY`` of the URL says which group a page is of.

``expected.json`` beside the files has the number of pages and copies and the sizes of groups, so that
:func:`compare` can check the ledger of a run. The bytes depend on the arguments only. Two processes write
20 to 40 MB of compressed files per second.
"""

import argparse
import json
import multiprocessing
import re
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from isal import igzip
from numpy.typing import NDArray

from benchmarks.scale_pages import Pattern, Vocabulary, make_patterns, read_pages, version
from core.errors import InputError, run
from pipeline.ledger import Reason

GROUP_SIZES = (2, 2, 2, 3, 5, 10, 50)
"""Sizes of the groups of copies, in turn."""
SAMPLED = 200
"""Pages by which the size of a page is estimated."""
FIRST_DATE = datetime(2026, 1, 10, tzinfo=UTC)
HOSTS = 997
"""Hosts that the pages of one real host are distributed over."""
_GROUP = re.compile(r"[?&]gm=(\d+)-(\d+)")


class Options(NamedTuple):
    """Settings of the generated files."""

    seed: int
    level: int
    share: float
    """Share of the pages that are copies."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The pages in the order in which they are written."""

    groups: NDArray[np.int64]
    """The group of each page; a page without copies is a group of its own."""
    copies: NDArray[np.int64]
    """Its number in the group."""
    sizes: Mapping[int, int]
    """Number of groups by size."""

    @property
    def num_copies(self) -> int:
        """Pages that repeat another one."""
        return int((self.copies > 0).sum())


def make_plan(pages: int, options: Options) -> Plan:
    """Divide the pages into groups, and shuffle them."""
    sizes: list[int] = []
    copies = 0
    while (size := GROUP_SIZES[len(sizes) % len(GROUP_SIZES)]) - 1 + copies <= options.share * pages:
        sizes.append(size)
        copies += size - 1
    single = pages - sum(sizes)
    group_sizes = np.array([*sizes, *[1] * single], np.int64)
    groups = np.repeat(np.arange(len(group_sizes)), group_sizes)
    copy_numbers = np.arange(pages) - np.repeat(np.cumsum(group_sizes) - group_sizes, group_sizes)
    order = np.random.default_rng(options.seed).permutation(pages)
    return Plan(groups[order], copy_numbers[order], dict(sorted(Counter(group_sizes.tolist()).items())))


class Crawl:
    """Writes the pages of a plan."""

    def __init__(self, patterns: list[Pattern], vocabulary: Vocabulary, options: Options) -> None:
        self._patterns, self._vocabulary, self._options = patterns, vocabulary, options

    def page(self, group: int, copy: int) -> bytes:
        """Return the gzip members of a page's three records."""
        options = self._options
        pattern = self._patterns[group * 7919 % len(self._patterns)]
        near_copy = copy if group % 2 else 0  # groups with even numbers have exact copies
        body = version(pattern, self._vocabulary, [options.seed, group], near_copy)
        url = _url(pattern.url, group, copy)
        date = f"{FIRST_DATE + timedelta(seconds=(group * 37 + copy * 3607) % 1_209_600):%Y-%m-%dT%H:%M:%SZ}"
        host = url.split("/")[2]
        request = f"GET / HTTP/1.1\r\nUser-Agent: CCBot/2.0\r\nHost: {host}\r\n\r\n".encode()
        response = f"HTTP/1.1 200 OK\r\nContent-Type: {pattern.content_type}\r\n\r\n".encode() + body
        records = [
            ("request", "application/http; msgtype=request", request),
            ("response", "application/http; msgtype=response", response),
            ("metadata", "application/warc-fields", b"fetchTimeMs: 100\r\n"),
        ]
        return b"".join(
            self._member(f"{group}-{copy}-{kind}", kind, content_type, block, date, url)
            for kind, content_type, block in records
        )

    def write_file(self, path: Path, groups: NDArray[np.int64], copies: NDArray[np.int64]) -> None:
        """Write a file with the pages of these groups and numbers."""
        information = f"software: scale_crawl.py\r\nfilename: {path.name}\r\n".encode()
        date = f"{FIRST_DATE:%Y-%m-%dT%H:%M:%SZ}"
        temporary = path.with_suffix(".part")
        with temporary.open("wb", buffering=1 << 20) as stream:
            stream.write(self._member(path.name, "warcinfo", "application/warc-fields", information, date))
            for group, copy in zip(groups.tolist(), copies.tolist(), strict=True):
                stream.write(self.page(group, copy))
        temporary.rename(path)

    def _member(
        self, name: str, kind: str, content_type: str, block: bytes, date: str, url: str = ""
    ) -> bytes:
        identifier = uuid.uuid5(uuid.NAMESPACE_URL, f"{self._options.seed} {name}")
        target = f"WARC-Target-URI: {url}\r\n" if url else ""
        header = (
            f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: {date}\r\nWARC-Record-ID: <urn:uuid:{identifier}>"
            f"\r\n{target}Content-Type: {content_type}\r\nContent-Length: {len(block)}\r\n\r\n"
        )
        data = b"".join([header.encode(), block, b"\r\n\r\n"])
        return bytes(igzip.compress(data, compresslevel=self._options.level, mtime=0))


def _url(url: str, group: int, copy: int) -> str:
    """Return the address of a page: the real one on another host of the same domain, with the group."""
    address, _, _ = url.partition("#")
    scheme, _, rest = address.partition("://")
    mark = "&" if "?" in rest else ("?" if "/" in rest else "/?")
    return f"{scheme}://h{group % HOSTS}.{rest}{mark}gm={group}-{copy}"


def compare(ledger: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the ledger of a run with the groups of its pages.

    Of a group, some pages may be dropped before duplicates are looked for; of the others all but one are
    to be dropped as duplicates. Returns counts: ``groups``, those with two pages or more that were compared;
    ``copies``, pages to drop; ``found``, those dropped as a duplicate of their own group; ``others``, pages
    dropped as a duplicate of another group, whose texts are different; ``recall`` by kind.
    """
    table = pq.read_table(ledger, columns=["id", "url", "reason", "duplicate_of"])
    columns = (table.column(name).to_pylist() for name in ("id", "url", "reason", "duplicate_of"))
    group_of: dict[str, int] = {}
    compared: Counter[int] = Counter()
    dropped: list[tuple[int, str]] = []
    kept = duplicates = records = 0
    for identifier, url, reason, duplicate_of in zip(*columns, strict=True):
        found = _GROUP.search(url or "")
        if not found or reason == Reason.RECORD_TYPE:  # requests and metadata
            continue
        records += 1
        group_of[identifier] = group = int(found[1])
        kept += reason is None
        if reason is None or duplicate_of:
            compared[group] += 1
        if duplicate_of:
            duplicates += 1
            dropped.append((group, duplicate_of))
    own: Counter[int] = Counter(group for group, other in dropped if group_of.get(other) == group)
    to_drop: dict[str, int] = defaultdict(int)
    hit: dict[str, int] = defaultdict(int)
    for group, number in compared.items():
        kind = "near" if group % 2 else "exact"
        to_drop[kind] += number - 1
        hit[kind] += own[group]
    return {
        "pages": records,
        "of_expected_pages": round(records / expected["pages"], 4),
        "kept": kept,
        "groups": sum(number > 1 for number in compared.values()),
        "copies": sum(to_drop.values()),
        "found": sum(own.values()),
        "others": duplicates - sum(own.values()),
        "recall": {kind: round(hit[kind] / to_drop[kind], 4) for kind in sorted(to_drop) if to_drop[kind]},
    }


_crawl: Crawl | None = None
"""In the processes that write: shared by fork."""


def _write(task: tuple[Path, NDArray[np.int64], NDArray[np.int64]]) -> tuple[str, int]:
    path, groups, copies = task
    assert _crawl is not None
    _crawl.write_file(path, groups, copies)
    return path.name, path.stat().st_size


def _tasks(
    folder: Path, plan: Plan, files: int
) -> Iterator[tuple[Path, NDArray[np.int64], NDArray[np.int64]]]:
    bounds = [len(plan.groups) * number // files for number in range(files + 1)]
    for number, (start, end) in enumerate(pairwise(bounds)):
        path = folder / f"part-{number:05d}.warc.gz"
        yield path, plan.groups[start:end], plan.copies[start:end]


def main(arguments: Sequence[str]) -> None:
    """Write the crawl and describe it."""
    global _crawl
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--gigabytes", type=float, required=True)
    parser.add_argument("--file-gigabytes", type=float, default=1.0)
    parser.add_argument("--share", type=float, default=0.2, help="share of the pages that are copies")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--level", type=int, default=2, choices=range(4), help="of igzip")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args(arguments)
    options = Options(given.seed, given.level, given.share)
    if given.output.exists() and any(given.output.iterdir()):
        raise InputError(f"{given.output}: is not empty; name a new folder")
    given.output.mkdir(parents=True, exist_ok=True)

    started = time.monotonic()
    found = list(read_pages(given.pages))
    real = [page for page in found if page]
    _crawl = Crawl(*make_patterns(real), options)
    sizes = [len(_crawl.page(group, 0)) for group in range(SAMPLED)]
    plan = make_plan(round(given.gigabytes * 1e9 * SAMPLED / sum(sizes)), options)
    files = max(1, round(given.gigabytes / given.file_gigabytes))
    prepared = time.monotonic()
    with multiprocessing.get_context("fork").Pool(given.processes) as pool:
        written = sorted(pool.imap_unordered(_write, _tasks(given.output, plan, files)))
    seconds = time.monotonic() - prepared
    total = sum(size for _, size in written)
    expected = {
        "arguments": {"seed": options.seed, "level": options.level, "share": options.share},
        "real_pages": len(real),
        "left_out": len(found) - len(real),
        "pages": len(plan.groups),
        "copies": plan.num_copies,
        "groups": len(plan.groups) - plan.num_copies,
        "groups_by_size": plan.sizes,
        "bytes": total,
        "files": dict(written),
    }
    (given.output / "expected.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")
    print(
        f"{len(plan.groups):,} pages of {len(real):,} real ones ({len(found) - len(real)} left out), "
        f"{plan.num_copies:,} of them copies, {files} files, {total / 1e9:.3f} GB in {seconds:.1f} s, "
        f"{total / 1e6 / seconds:.1f} MB/s; {prepared - started:.1f} s to read the real pages"
    )


if __name__ == "__main__":
    run(main)
