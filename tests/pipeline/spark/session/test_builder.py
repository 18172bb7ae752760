import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark import InheritableThread, SparkConf

from core import storage
from core.config import load
from core.errors import OutputError
from core.storage import holders, locks
from pipeline.spark.session import builder
from tests.commands import ROOT, spark_submit

JOB = Path(__file__).with_name("round_trip.py")


def _check(answer):
    assert answer["sum"] == 4950
    assert answer["rows"] == 100
    assert 2 <= len(answer["files"]) == answer["written"] <= 6
    assert all(file.endswith(".zstd.parquet") for file in answer["files"])


@pytest.mark.parametrize(
    ("setting", "needs_s3"),
    [
        ('input.paths=["a", "s3://b/x"]', True),
        ("input.index.path=s3://b/x", True),
        ('input.paths=["commoncrawl:CC-MAIN-2024-51"]', True),
        ("output.path=s3://b/x", True),
        ("dedup.run=s3://b/x", True),
        ("dedup.index=s3://b/x", True),
        ('decontamination.paths=["s3://b/x"]', False),
        ("output.path=s3/x", False),
    ],
)
def test_s3_is_set_up_for_every_path_that_spark_uses(setting, needs_s3):
    assert builder.uses_s3(load(None, [setting])) == needs_s3


@pytest.mark.spark
def test_credentials_from_a_kubernetes_secret_are_not_passed_on_in_pod_specifications(spark, monkeypatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    everything = builder._s3_settings(SparkConf(loadDefaults=False))
    conf = SparkConf(loadDefaults=False)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        conf.set(f"spark.kubernetes.executor.secretKeyRef.{variable}", f"gristmill-s3:{variable}")
    assert everything.keys() - builder._s3_settings(conf).keys() == {
        "spark.executorEnv.AWS_ACCESS_KEY_ID",
        "spark.executorEnv.AWS_SECRET_ACCESS_KEY",
    }


@pytest.mark.spark
def test_timestamps_are_in_utc(spark):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    frame = spark.createDataFrame([(moment,)], "at timestamp").selectExpr("at", "string(at) as text")
    assert frame.toArrow().to_pylist() == [{"at": moment, "text": "2026-01-02 03:04:05"}]


@pytest.mark.spark
@pytest.mark.server
def test_submitted_job_reads_and_writes_local_files_s3_and_hdfs(tmp_path, s3, hdfs):
    roots = [storage.join(base, "session") for base in (str(tmp_path), s3, hdfs)]
    answer = json.loads(spark_submit(JOB, "--set", f"input.paths={json.dumps(roots)}").splitlines()[-1])
    assert len(answer["roots"]) == 3
    for root in answer["roots"]:
        _check(root)


@pytest.mark.spark
@pytest.mark.server
def test_standalone_cluster_receives_s3a_with_the_job(s3, cluster):
    roots = json.dumps([storage.join(s3, "cluster")])
    answer = json.loads(
        spark_submit(JOB, "--set", f"input.paths={roots}", options=("--master", cluster)).splitlines()[-1]
    )
    _check(answer["roots"][0])


@pytest.mark.spark
def test_job_without_spark_submit_starts_java_of_the_wheel(tmp_path):
    """No Java on PATH, no SPARK_* variables: settings suit a laptop, and stderr has no warnings."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in Path("/usr/bin").iterdir():
        if tool.name != "java":
            (tools / tool.name).symlink_to(tool)
    environment = {"PATH": str(tools), "HOME": os.environ["HOME"], "PYTHONPATH": str(ROOT)}
    roots = json.dumps([str(tmp_path / "root")])
    done = subprocess.run(
        [sys.executable, str(JOB), "--set", f"input.paths={roots}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    _check(answer["roots"][0])
    assert answer["settings"]["spark.driver.memory"] == "2g"
    assert answer["settings"]["spark.driver.host"] == "127.0.0.1"
    warnings = [
        line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip() and "Stage" not in line
    ]
    assert [line for line in warnings if "incubator" not in line] == []


@pytest.mark.spark
def test_user_settings_take_precedence(tmp_path):
    roots = json.dumps([str(tmp_path / "root")])
    options = (
        "--conf",
        "spark.sql.shuffle.partitions=5",
        "--conf",
        "spark.sql.parquet.compression.codec=snappy",
        "--driver-memory",
        "700m",
    )
    answer = json.loads(spark_submit(JOB, "--set", f"input.paths={roots}", options=options).splitlines()[-1])
    assert answer["settings"]["spark.sql.shuffle.partitions"] == "5"
    assert answer["settings"]["spark.driver.memory"] == "700m"
    assert all(file.endswith(".snappy.parquet") for file in answer["roots"][0]["files"])


@pytest.mark.spark
def test_jobs_of_a_driver_that_was_replaced_are_cancelled(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.1)
    context, folder = spark.sparkContext, tmp_path / "out"
    tracker = context.statusTracker()

    def replace():
        while not tracker.getActiveJobsIds():
            time.sleep(0.05)
        successor = holders.this_process("clean").model_copy(
            update={"host": "node-7", "machine": "elsewhere"}
        )
        (folder / f"{locks.PREFIX}000002").write_bytes(successor.encode())

    other = InheritableThread(target=replace)
    other.start()
    message = r"on node-7 took over at .*; pack stops here and publishes nothing"
    with pytest.raises(OutputError, match=message), locks.held(str(folder), "pack"):
        context.parallelize(range(200), 200).foreach(lambda _: time.sleep(1))
    other.join()
    deadline = time.monotonic() + 60
    while tracker.getActiveJobsIds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert context.parallelize(range(3)).sum() == 3  # the session goes on
