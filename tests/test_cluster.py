"""Published tables are independent of the number of partitions and of the cluster."""

import json
import sys

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from core import config, manifest
from core.manifest import Manifest
from pipeline.document import schema, text_hash
from pipeline.spark.clean import clean
from pipeline.spark.dedup.stage import dedup
from pipeline.spark.pack import pack
from pipeline.spark.tokenizer import train_tokenizer
from tests import small_crawl
from tests.commands import ROOT, spark_submit
from tests.pipeline.spark.dedup import corpus
from tests.servers.standalone import spark_cluster

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("cluster-run") / "raw")


def _overrides(crawl, out, partitions):
    paths = json.dumps(crawl.paths)
    return [f"input.paths={paths}", f"output.path={out}", f"input.partitions={partitions}"]


def _published(out, table):
    """Return the rows of a table by id."""
    rows = ds.dataset(out / table, partitioning="hive").to_table().to_pylist()
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.fixture(scope="module")
def one_partition(spark, crawl, tmp_path_factory):
    out = tmp_path_factory.mktemp("one") / "out"
    clean(spark, config.load(None, _overrides(crawl, out, 1)))
    return out


def _check_same(out, reference):
    for table in ("documents", "ledger", "quarantine"):
        assert _published(out, table) == _published(reference, table)


@pytest.mark.parametrize("partitions", [2, 7])
def test_output_is_independent_of_partitions(spark, crawl, tmp_path, one_partition, partitions):
    assert len(_published(one_partition, "documents")) > 20
    clean(spark, config.load(None, _overrides(crawl, tmp_path / "out", partitions)))
    _check_same(tmp_path / "out", one_partition)


@pytest.mark.server
def test_output_is_independent_of_the_cluster(cluster, crawl, tmp_path, one_partition):
    arguments = [part for override in _overrides(crawl, tmp_path / "out", 0) for part in ("--set", override)]
    spark_submit(ROOT / "jobs" / "clean.py", *arguments, options=("--master", cluster))
    _check_same(tmp_path / "out", one_partition)


@pytest.mark.server
def test_archive_is_all_that_workers_with_python_need(crawl, tmp_path, archive, one_partition):
    options = [*archive.options(), "--conf", f"spark.pyspark.driver.python={sys.executable}"]
    arguments = [part for override in _overrides(crawl, tmp_path / "out", 0) for part in ("--set", override)]
    with spark_cluster(tmp_path, bare=True) as master:
        spark_submit(ROOT / "jobs/clean.py", *arguments, options=("--master", master, *options))
    _check_same(tmp_path / "out", one_partition)


SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "10ms",
    "spark.speculation.quantile": "0.1",
    "spark.speculation.multiplier": "1.01",
    "spark.speculation.minTaskRuntime": "1ms",
    "spark.sql.files.maxPartitionBytes": "1m",
    "spark.sql.files.openCostInBytes": "1m",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.compress": "false",
}
"""Start a second attempt of many tasks, and record them. Every file is a task."""


def _speculate(cluster, job, settings, events):
    """Run a job and return how many second attempts were started."""
    events.mkdir()
    conf = SPECULATION | {"spark.eventLog.dir": events.as_uri()}
    options = ["--master", cluster]
    for item in conf.items():
        options += ["--conf", "=".join(item)]
    arguments = [part for each in settings for part in ("--set", each)]
    spark_submit(ROOT / "jobs" / job, *arguments, options=tuple(options))
    lines = [line for log in events.rglob("events_*") for line in log.read_text().splitlines()]
    return sum('"Speculative":true' in line for line in lines if "TaskStart" in line)


@pytest.mark.server
def test_duplicates_are_the_same_bytes_on_a_cluster_that_speculates(spark, cluster, tmp_path):
    path = corpus.write(corpus.documents(200), tmp_path / "in" / "a.jsonl")
    settings = [f"input.paths=['{path}']", "dedup.output=duplicates", "input.split_bytes=65536"]
    dedup(spark, config.load(None, [*settings, f"output.path={tmp_path / 'local'}"]))
    arguments = [*settings, f"output.path={tmp_path / 'cluster'}", "input.partitions=5"]
    assert _speculate(cluster, "dedup.py", arguments, tmp_path / "events") > 0
    tables = [sorted((tmp_path / run / "duplicates").iterdir()) for run in ("local", "cluster")]
    assert [[file.name for file in files] for files in tables] == [["part-00000.parquet"]] * 2
    assert tables[0][0].read_bytes() == tables[1][0].read_bytes()


@pytest.mark.server
def test_shards_are_the_same_bytes_on_a_cluster_that_speculates(spark, cluster, tmp_path):
    run = tmp_path / "run"
    _publish_uneven(run)
    settings = [f"output.path={run}", "tokenizer.kind=char", "tokenizer.vocabulary_size=305"]
    settings += ["pack.sequence_length=255", "pack.validation_share=0.1"]
    train_tokenizer(spark, config.load(None, settings))
    pack(spark, config.load(None, settings))
    local = (run / "shards").rename(tmp_path / "local")
    assert _speculate(cluster, "pack.py", settings, tmp_path / "events") > 0
    files = _contents(local)
    assert len(files) > 2 and _contents(run / "shards") == files


def _publish_uneven(run):
    """Publish documents in two files, whose tasks take very different times."""
    texts = [" ".join(str(number * word) for word in range(300)) for number in range(6_000)]
    (run / "documents").mkdir(parents=True)
    files = []
    for part, numbers in enumerate([range(1), range(1, len(texts))]):
        rows = [
            {"id": text_hash(texts[number]), "text": texts[number], "source": "web", "language": "en"}
            for number in numbers
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema()), run / "documents" / f"{part}.parquet")
        files.append(manifest.file_entry(str(run), f"documents/{part}.parquet", len(rows)))
    made = Manifest(
        stage="clean", fingerprint="", config={}, inputs=[], counts={"kept": len(texts)}, files=files,
        facts={"corpus": "c0ffee"},
    )  # fmt: skip
    manifest.publish(str(run), made)


def _contents(folder):
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "run.json")
    return {file.relative_to(folder): file.read_bytes() for file in files}
