"""Runs from raw crawl to trained model on local disk, on S3 and on HDFS give identical results."""

import contextlib
import io
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import manifest, storage
from core.shards.__main__ import main as inspect_shards
from tests import small_crawl
from tests.commands import ROOT, spark_submit, torchrun
from tests.small_crawl import CONFIG


@dataclass(frozen=True)
class Run:
    """The results of a run, without file locations."""

    documents: list[dict]
    ledger: list[dict]
    shards: dict[str, str]
    first_row: str
    compared: dict[str, int]
    """Counts of the documents compared with a signature index of themselves."""
    losses: list[float]
    checkpoints: list[str]


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("end-to-end") / "raw")


def _run(crawl, tmp_path, root):
    """Copy the crawl below ``root``, run all stages there, and collect the results."""
    config, out = tmp_path / "config.toml", storage.join(root, "out")
    for file in crawl.folder.iterdir():
        storage.upload(str(file), storage.join(root, "raw", file.name))
    config.write_text(f"input.paths = ['{root}/raw']\noutput.path = '{out}'\n{CONFIG}")
    spark_submit(ROOT / "tests" / "data_half.py", "--config", str(config))
    torchrun(2, "train", "--config", str(config))
    return Run(
        documents=_rows(storage.join(out, "documents")),
        ledger=_rows(storage.join(out, "ledger")),
        shards=_arrow_files(storage.join(out, "shards")),
        first_row=_first_row(storage.join(out, "shards")),
        compared=manifest.read(f"{out}.again", "dedup").counts,
        losses=_losses(storage.join(out, "training", "metrics.jsonl")),
        checkpoints=_names(storage.join(out, "training", "checkpoints")),
    )


def _rows(folder):
    """Return the rows of a table, sorted by id, without the location of the raw file."""
    tables = []
    for file in storage.list_files(folder):
        if file.path.endswith(".parquet"):
            with pa.BufferReader(storage.read_bytes(file.path)) as reader:
                tables.append(pq.ParquetFile(reader).read().to_pylist())
    rows = sorted((row for table in tables for row in table), key=lambda row: row["id"])
    for row in rows:
        row.get("origin", {}).pop("path", None)
    return rows


def _arrow_files(folder):
    """Return SHA-256 by name; assert that files and manifest agree."""
    found = manifest.read(folder, "pack")
    manifest.verify(folder, found)
    listed = [file.path for file in storage.list_files(folder) if file.path.endswith(".arrow")]
    hashes = {path.removeprefix(f"{folder}/"): storage.checksum(path)[1] for path in listed}
    assert hashes == {entry.path: entry.sha256 for entry in found.files}
    return hashes


def _first_row(folder):
    """Return what ``python -m core.shards inspect`` prints about the first row of web pages."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        inspect_shards(["inspect", folder, "--source", "commoncrawl", "--row", "0", "--urls", "--whole"])
    return printed.getvalue()


def _losses(path):
    lines = io.BytesIO(storage.read_bytes(path)).readlines()
    return [json.loads(line)["train/loss"] for line in lines]


def _names(folder):
    return sorted(file.path.removeprefix(f"{folder}/") for file in storage.list_files(folder))


@pytest.fixture(scope="module")
def local(crawl, tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    return _run(crawl, folder, str(folder))


@pytest.mark.spark
@pytest.mark.distributed
def test_local_run_has_all_sources_and_stages(local, crawl):
    assert {row["source"] for row in local.ledger} == {"commoncrawl", "wikipedia", "books", "jsonl"}
    assert len(local.ledger) == crawl.records - crawl.quarantined
    assert len(local.documents) > 20
    assert {name.split("/")[0] for name in local.shards} == {"train", "validation"}
    assert "  tokens 0 to " in local.first_row and "://" in local.first_row
    assert len(local.losses) == 4
    assert local.compared["records_in"] == local.compared["dropped"] == len(local.documents)
    assert local.checkpoints


@pytest.mark.spark
@pytest.mark.distributed
@pytest.mark.server
@pytest.mark.parametrize("server", ["s3", "hdfs"])
def test_remote_run_equals_the_local_run(request, local, crawl, tmp_path, server):
    remote = _run(crawl, tmp_path, storage.join(request.getfixturevalue(server), "end-to-end"))
    assert remote.documents == local.documents
    assert remote.ledger == local.ledger
    assert remote.shards == local.shards
    assert remote.first_row == local.first_row
    assert remote.compared == local.compared
    assert remote.losses == local.losses
    assert remote.checkpoints == local.checkpoints
