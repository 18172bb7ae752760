"""Published tables are ordinary Parquet: other engines read them as they are."""

import json
from datetime import UTC, datetime

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from core import config
from pipeline.spark.clean import clean
from tests import small_crawl

pytestmark = pytest.mark.spark

CAPTURED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
"""Date of all pages of the crawl."""
TABLES = ("documents", "ledger", "quarantine")


@pytest.fixture(scope="module")
def run(spark, tmp_path_factory):
    """Folder and manifest of a cleaned crawl, in several files per table."""
    folder = tmp_path_factory.mktemp("engines")
    crawl = small_crawl.build(folder / "raw")
    settings = [f"input.paths={json.dumps(crawl.paths)}", f"output.path={folder / 'out'}"]
    made = clean(spark, config.load(None, settings))
    assert len(list((folder / "out" / "documents").glob("*.parquet"))) > 1
    return folder / "out", made


def _sizes(made):
    return {
        "documents": made.counts["kept"],
        "ledger": made.counts["kept"] + made.counts["dropped"],
        "quarantine": made.counts["quarantined"],
    }


def _expected(out):
    """Columns of the documents that PyArrow reads, by id."""
    rows = ds.dataset(out / "documents").to_table(columns=["id", "text", "url", "fetched_at"]).to_pylist()
    return {row["id"]: (row["text"], row["url"], row["fetched_at"]) for row in rows}


def test_pyarrow_reads_folders(run):
    out, made = run
    assert {table: ds.dataset(out / table).count_rows() for table in TABLES} == _sizes(made)
    pages = ds.dataset(out / "documents").filter(ds.field("source") == "commoncrawl").to_table()
    assert set(pages["fetched_at"].to_pylist()) == {CAPTURED}


def test_pandas_reads_folders(run):
    out, made = run
    assert {table: len(pd.read_parquet(out / table)) for table in TABLES} == _sizes(made)
    frame = pd.read_parquet(out / "documents").set_index("id")
    assert frame["text"].to_dict() == {key: text for key, (text, *_) in _expected(out).items()}
    assert str(frame["fetched_at"].dtype) == "datetime64[us, UTC]"
    assert frame["metrics"].iloc[0]["characters"] > 0
    dropped = pd.read_parquet(out / "ledger")["reason"].value_counts().to_dict()
    assert dropped == {
        key.removeprefix("dropped."): count
        for key, count in made.counts.items()
        if key.startswith("dropped.")
    }


def test_duckdb_reads_folders_and_nested_columns(run):
    out, made = run
    for table, size in _sizes(made).items():
        assert duckdb.sql(f"SELECT count(*) FROM '{out}/{table}/*.parquet'").fetchall() == [(size,)]
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'UTC'")
        query = f"SELECT id, text, url, epoch_us(fetched_at) FROM '{out}/documents/*.parquet'"
        found = {row[0]: row[1:] for row in connection.sql(query).fetchall()}
        joined = connection.sql(
            f"SELECT count(*) FROM '{out}/documents/*.parquet' "
            f"JOIN '{out}/ledger/*.parquet' AS ledger USING (id) "
            "WHERE ledger.kept AND metrics.characters > 0 AND origin.offset >= 0"
        ).fetchall()
    microseconds = {
        key: (text, url, at and int(at.timestamp()) * 1_000_000)
        for key, (text, url, at) in _expected(out).items()
    }
    assert found == microseconds
    assert joined == [(made.counts["kept"],)]


def test_polars_scans_folders_and_nested_columns(run):
    out, made = run
    for table, size in _sizes(made).items():
        assert pl.scan_parquet(f"{out}/{table}/*.parquet").select(pl.len()).collect().item() == size
    frame = pl.read_parquet(f"{out}/documents/*.parquet")
    rows = frame.select("id", "text", "url", "fetched_at").iter_rows()
    assert {row[0]: row[1:] for row in rows} == _expected(out)
    assert frame.select(pl.col("metrics").struct.field("characters").min()).item() > 0


def test_hugging_face_datasets_reads_documents(run, tmp_path):
    out, made = run
    files = [str(path) for path in sorted((out / "documents").glob("*.parquet"))]
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert len(found) == made.counts["kept"]
    assert {row["id"]: (row["text"], row["url"], row["fetched_at"]) for row in found} == _expected(out)
