import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import storage
from core.config import load
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
