"""Real archives: record counts that other readers confirm, and equal records for any splits."""

import csv
import gzip
import shutil
from collections import Counter
from pathlib import Path

import pytest

from core import config
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, Item, Origin, Record, Skipped
from tests.commands import REAL_DATA

WARC = REAL_DATA / "warc"
EXPECTED = Path(__file__).parent / "real_files.tsv"
"""All files that warcio reads to the end: the number of records it finds, and our items by type."""

pytestmark = pytest.mark.skipif(not WARC.exists(), reason="needs ../shared/data beside the repository")


def read_items(path: Path, split_bytes: int) -> list[Item]:
    settings = config.InputConfig(paths=(str(path),), split_bytes=split_bytes)
    return [item for split in plan_splits(settings) for item in read(split)]


def test_item_counts_of_undamaged_files(subtests) -> None:
    with EXPECTED.open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert len(rows) == 46
    for row in rows:
        with subtests.test(row["file"]):
            items = read_items(WARC / "real" / row["file"], 1 << 30)
            assert len(items) == int(row["records"])
            assert sum(isinstance(item, Record) for item in items) == int(row["pages"])
            assert sum(isinstance(item, Damaged) for item in items) == int(row["damaged"])
            skipped = Counter(item.drop.reason.value for item in items if isinstance(item, Skipped))
            assert "|".join(f"{reason}:{skipped[reason]}" for reason in sorted(skipped)) == row["skipped"]


def test_splits_of_any_file_yield_the_same_items(subtests) -> None:
    for path in [*sorted((WARC / "real").glob("[!M]*")), WARC / "pages-mixed.warc.gz"]:
        with subtests.test(path.name):
            whole = read_items(path, 1 << 30)
            offsets = [item.origin.offset for item in whole]
            assert offsets == sorted(set(offsets))
            assert len(offsets) > 0
            assert read_items(path, 1 << 16) == whole
            assert read_items(path, 1 << 20) == whole


def test_decompressed_warc_yields_the_same_records(tmp_path: Path) -> None:
    path = tmp_path / "unpacked.warc"
    with gzip.open(WARC / "pages-mixed.warc.gz") as packed, path.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    whole = read_items(path, 1 << 30)
    expected = read_items(WARC / "pages-mixed.warc.gz", 1 << 30)
    assert [item._replace(origin=Origin(0, 0)) for item in whole] == [
        item._replace(origin=Origin(0, 0)) for item in expected
    ]
    assert read_items(path, 1 << 16) == read_items(path, 1 << 20) == whole
