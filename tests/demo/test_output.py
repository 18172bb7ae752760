"""Every record of the sample crawl comes out exactly once.

Records are counted independently of the readers: lines that begin a WARC record, ``<page>`` elements, files.
The run is the demo's where it exists, otherwise the clean stage is run on the same crawl.
"""

import bz2
import re
import zlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from pyspark.sql import SparkSession

from core import config, manifest
from core.config import Config
from demo import stages, summary
from pipeline.spark.clean import clean
from tests.commands import ROOT

pytestmark = pytest.mark.spark
BEGINS = re.compile(rb"^WARC/\d\.\d\r*\n", re.MULTILINE)


@pytest.fixture(scope="module")
def settings(sample_crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The demo's configuration, with paths in temporary folders."""
    paths = [str(sample_crawl / below) for below in ("warc", "wiki", "books")]
    overrides = [f"input.paths={paths}", f"output.path={tmp_path_factory.mktemp('demo') / 'run'}"]
    return config.load(str(ROOT / stages.CONFIG), overrides)


@pytest.fixture(scope="module")
def run_folder(settings: Config, request: pytest.FixtureRequest) -> Path:
    stands = ROOT / config.load(str(ROOT / stages.CONFIG)).output.path
    if (stands / manifest.NAME).exists():
        return stands
    spark: SparkSession = request.getfixturevalue("spark")
    clean(spark, settings)
    return Path(settings.output.path)


def _inflated(raw: bytes) -> bytes:
    """Return the contents of all gzip members, or plain bytes unchanged."""
    if not raw.startswith(b"\x1f\x8b"):
        return raw
    whole = bytearray()
    while raw:
        member = zlib.decompressobj(zlib.MAX_WBITS + 16)
        whole += member.decompress(raw)
        raw = member.unused_data
    return bytes(whole)


def _records(crawl: Path) -> dict[str, int]:
    """Count records of WARC files and dumps by file name; books are not counted."""
    counts = {path.name: len(BEGINS.findall(_inflated(path.read_bytes()))) for path in crawl.glob("warc/*")}
    pages = {path.name: bz2.decompress(path.read_bytes()).count(b"<page>") for path in crawl.glob("wiki/*")}
    return counts | pages


def _check_chapters(chapters: list[dict[str, Any]]) -> None:
    """Check that chapters are numbered without gaps and adjoin each other."""
    chapters.sort(key=lambda row: row["origin"]["offset"])
    if len(chapters) > 1:
        count = len(chapters)
        marks = [f"[{place}/{count}]" for place in range(1, count + 1)]
        assert [row["title"].rpartition(" ")[2] for row in chapters] == marks
    for before, after in pairwise(row["origin"] for row in chapters):
        assert before["offset"] + before["length"] == after["offset"]


def test_every_record_comes_out_exactly_once(sample_crawl: Path, run_folder: Path) -> None:
    records = ds.dataset(run_folder / "analysis" / "records")
    analysed = records.to_table(columns=["id", "title", "origin"]).to_pylist()
    found = Counter(Path(row["origin"]["path"]).name for row in analysed)
    books = {path.name for path in sample_crawl.glob("books/*")}
    assert {name: count for name, count in found.items() if name not in books} == _records(sample_crawl)
    assert books <= found.keys()
    for book in books:
        _check_chapters([row for row in analysed if Path(row["origin"]["path"]).name == book])
    ledger = ds.dataset(run_folder / "ledger").to_table(columns=["id", "kept", "reason"]).to_pylist()
    quarantine = ds.dataset(run_folder / "quarantine").to_table(columns=["id"]).to_pylist()
    documents = ds.dataset(run_folder / "documents").to_table(columns=["id"]).to_pylist()
    out = Counter(row["id"] for row in [*ledger, *quarantine])
    assert out == Counter(row["id"] for row in analysed)
    assert set(out.values()) == {1}
    kept = Counter(row["id"] for row in ledger if row["kept"])
    assert kept == Counter(row["id"] for row in documents)


def test_manifest_counts_match_the_tables(run_folder: Path) -> None:
    ledger = ds.dataset(run_folder / "ledger").to_table(columns=["kept", "reason"]).to_pylist()
    made = manifest.read(str(run_folder), "clean")
    summary.check_balance(made)
    dropped = Counter(row["reason"] for row in ledger if not row["kept"])
    assert summary.dropped(made) == dropped
    assert made.counts["kept"] == sum(row["kept"] for row in ledger)
    quarantined = ds.dataset(run_folder / "quarantine").count_rows()
    assert made.counts["records_in"] == made.counts["kept"] + dropped.total() + quarantined
    manifest.verify(str(run_folder), made)
