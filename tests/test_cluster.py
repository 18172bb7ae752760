"""What is published does not depend on how the work was cut up, nor on which machine did it."""

import json

import pyarrow.dataset as ds
import pytest

from core import config
from pipeline.spark.clean import clean
from tests import small_crawl
from tests.commands import ROOT, spark_submit

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("cluster-run") / "raw")


def _overrides(crawl, out, partitions):
    paths = json.dumps(crawl.paths)
    return [f"input.paths={paths}", f"output.path={out}", f"input.partitions={partitions}"]


def _published(out, table):
    """The rows of a table by id."""
    rows = ds.dataset(out / table, partitioning="hive").to_table().to_pylist()
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def in_one_piece(spark, crawl, tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "out"
    clean(spark, config.load(None, _overrides(crawl, out, 1)))
    return out


def _check_same(out, reference):
    for table in ("documents", "ledger", "quarantine"):
        assert _published(out, table) == _published(reference, table)


@pytest.mark.parametrize("partitions", [2, 7])
def test_partitions_change_nothing(spark, crawl, tmp_path, in_one_piece, partitions):
    assert len(_published(in_one_piece, "documents")) > 20
    clean(spark, config.load(None, _overrides(crawl, tmp_path / "out", partitions)))
    _check_same(tmp_path / "out", in_one_piece)


@pytest.mark.server
def test_a_cluster_of_two_workers_changes_nothing(cluster, crawl, tmp_path, in_one_piece):
    arguments = [part for each in _overrides(crawl, tmp_path / "out", 0) for part in ("--set", each)]
    spark_submit(ROOT / "jobs" / "clean.py", *arguments, options=("--master", cluster))
    _check_same(tmp_path / "out", in_one_piece)
