import json

import pyarrow as pa
import pytest
from pyspark.errors import PySparkException
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import Config, load
from core.errors import ConfigError
from pipeline.document import document_id
from pipeline.extraction import extract
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, Skipped
from pipeline.spark import sources
from tests import small_crawl

pytestmark = pytest.mark.spark

FILES = {"warc": "*.warc*", "wikipedia": "*.bz2", "books": "*.txt"}


@pytest.fixture(scope="module")
def session(spark):
    sources.register(spark)
    return spark


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("sources") / "raw").folder


def _expected(path: str, *options: str) -> list[dict]:
    """Return the rows that correspond to the items of the readers."""
    rows = []
    for split in plan_splits(load(None, [f'input.paths=["{path}"]', *options]).input):
        for item in read(split):
            row = {"id": document_id(split.file_name, item.origin.offset), "source": split.source}
            if isinstance(item, Damaged):
                row["error"] = item.error
            elif isinstance(item, Skipped):
                row |= {"url": item.url, "reason": item.drop.reason.value}
            else:
                found = extract(item, Config().extraction)
                row |= {"url": item.url or None, "media": item.media, "license": item.license or None}
                row |= {"reason": found.reason.value} if isinstance(found, Drop) else {"text": found.text}
            rows.append(row)
    return sorted(rows, key=lambda row: row["id"])


@pytest.mark.parametrize("name", FILES)
def test_rows_equal_the_items_of_the_readers(session, folder, name):
    table = session.read.format(name).option("records", "all").load(f"{folder}/{FILES[name]}")
    rows = sorted((row.asDict() for row in table.collect()), key=lambda row: row["id"])
    expected = _expected(f"{folder}/{FILES[name]}")
    assert [{key: row[key] for key in want} for row, want in zip(rows, expected, strict=True)] == expected
    pages = session.read.format(name).load(f"{folder}/{FILES[name]}")
    assert {row.id for row in pages.collect()} == {row["id"] for row in expected if "media" in row}


def _rows(options: dict[str, str]) -> list[dict]:
    """Read a source without Spark."""
    reader = sources.Warc(options).reader(from_arrow_schema(sources.COLUMNS.remove(11)))
    rows = [row for part in reader.partitions() for batch in reader.read(part) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["id"])


def test_splits_feed_several_tasks_without_changing_the_result(session, folder, tmp_path):
    data = b"".join((folder / name).read_bytes() for name in ("first.warc.gz", "third.warc.gz"))
    (tmp_path / "large.warc.gz").write_bytes(data * 20)
    wanted = "id STRING, url STRING, body BINARY"
    reader = session.read.format("warc").schema(wanted).option("records", "all")
    unsplit = reader.load(str(tmp_path))
    split = reader.option("splitBytes", 1 << 16).load(str(tmp_path))
    assert unsplit.rdd.getNumPartitions() == 1
    assert split.rdd.getNumPartitions() > 2
    assert sorted(split.collect()) == sorted(unsplit.collect())
    assert unsplit.count() == 20 * (12 + 1 + 1)


def test_columns_not_requested_are_not_computed(folder, monkeypatch):
    wanted = from_arrow_schema(pa.schema([sources.COLUMNS.field(name) for name in ("url", "origin")]))
    reader = sources.Warc({"path": f"{folder}/first.warc.gz"}).reader(wanted)
    monkeypatch.setattr(sources, "guard", lambda _: pytest.fail("extracted"))
    (batch,) = reader.read(reader.partitions()[0])
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema.names == ["url", "origin"]
    assert batch.num_rows == 12
    assert reader._columns == batch.schema


def test_extract_none_returns_bytes_instead_of_text(session, folder):
    rows = session.read.format("warc").option("extract", "none").load(f"{folder}/first.warc.gz").collect()
    assert "text" not in rows[0].asDict()
    assert {row.media for row in rows} == {"html"}
    assert {row.charset for row in rows} == {"utf-8"}
    assert all(row.body.startswith(b"<!doctype html>") for row in rows)


def test_wet_reads_conversion_records_of_a_named_crawl(session, tmp_path):
    root = tmp_path / "crawl-data/CC-MAIN-2026-30"
    root.mkdir(parents=True)
    block = "Plain text.\n\r\n\r\n"
    (root / "a.warc.wet").write_text(
        "WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Target-URI: http://example.org/\r\n"
        f"Content-Type: text/plain\r\nContent-Length: 12\r\n\r\n{block}",
        newline="",
    )
    (root / "wet.paths.gz").write_text("crawl-data/CC-MAIN-2026-30/a.warc.wet\n")
    table = session.read.format("wet").option("commoncrawl", str(tmp_path))
    for name in ("commoncrawl:CC-MAIN-2026-30", "commoncrawl:CC-MAIN-2026-30/wet?sample=1"):
        (row,) = table.load(name).collect()
        assert (row.text, row.url, row.media) == ("Plain text.", "http://example.org/", "text")


@pytest.mark.server
@pytest.mark.parametrize("server", ["s3", "hdfs"])
def test_remote_archives_give_the_same_rows(request, folder, server):
    """Without Spark, whose processes started before the server's variables were set."""
    root = storage.join(request.getfixturevalue(server), "sources")
    for name in ("first.warc.gz", "second.warc"):
        storage.upload(str(folder / name), storage.join(root, name))
    local = json.dumps([str(folder / name) for name in ("first.warc.gz", "second.warc")])
    assert _rows({"path": root}) == _rows({"paths": local})


def test_sources_work_in_sql(session, folder):
    session.sql(f"CREATE TEMPORARY VIEW pages USING warc OPTIONS (path '{folder}/second.warc')")
    (row,) = session.sql(
        "SELECT count(*) AS n, min(fetched_at) AS first FROM pages WHERE text IS NOT NULL"
    ).collect()
    assert row.n == 12
    assert row["first"].year == 2026


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record": "all"}, "option record: no such option; the nearest valid name is records"),
        ({"records": "some"}, "must be one of pages, all"),
        ({"splitBytes": "1"}, "split_bytes = 1"),
        ({"splitBytes": "much"}, "split_bytes = 'much'"),
        ({"extract": "magic"}, "option extract = 'magic'"),
    ],
)
def test_invalid_options_are_rejected(session, folder, options, message):
    with pytest.raises(ConfigError, match=message):
        sources.Warc({"path": str(folder), **options})
    with pytest.raises(PySparkException, match="ConfigError"):
        session.read.format("warc").options(**options).load(str(folder)).schema  # noqa: B018


@pytest.mark.parametrize("schema", ["nonsense STRING", "url INT", "body BINARY, text STRING"])
def test_invalid_schemas_are_rejected(session, folder, schema):
    table = session.read.format("warc").schema(schema).option("extract", "none").load(str(folder))
    with pytest.raises(PySparkException, match="ConfigError"):
        table.collect()


def test_missing_path_is_rejected(session):
    with pytest.raises(PySparkException, match="no path, but one is required"):
        session.read.format("books").load()
