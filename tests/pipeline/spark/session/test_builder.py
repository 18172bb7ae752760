import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core import storage
from tests.commands import ROOT, spark_submit

JOB = Path(__file__).with_name("round_trip.py")


def _check(answer):
    assert answer["sum"] == 4950
    assert answer["rows"] == 100
    assert 2 <= len(answer["files"]) == answer["written"] <= 6
    assert all(file.endswith(".zstd.parquet") for file in answer["files"])


@pytest.mark.spark
def test_timestamps_are_told_in_utc(spark):
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    frame = spark.createDataFrame([(moment,)], "at timestamp").selectExpr("at", "string(at) as text")
    assert frame.toArrow().to_pylist() == [{"at": moment, "text": "2026-01-02 03:04:05"}]


@pytest.mark.spark
@pytest.mark.server
def test_a_submitted_job_reads_and_writes_local_s3_and_hdfs(tmp_path, s3, hdfs):
    roots = [storage.join(base, "session") for base in (str(tmp_path), s3, hdfs)]
    answer = json.loads(spark_submit(JOB, "--set", f"input.paths={json.dumps(roots)}").splitlines()[-1])
    assert len(answer["roots"]) == 3
    for root in answer["roots"]:
        _check(root)


@pytest.mark.spark
@pytest.mark.server
def test_a_cluster_of_two_workers_gets_s3_with_the_job(s3, cluster):
    roots = json.dumps([storage.join(s3, "cluster")])
    answer = json.loads(
        spark_submit(JOB, "--set", f"input.paths={roots}", options=("--master", cluster)).splitlines()[-1]
    )
    _check(answer["roots"][0])


@pytest.mark.spark
def test_a_plain_program_starts_its_own_java_where_there_is_none(tmp_path):
    """No Java on the path, no SPARK_* variable; the settings are the laptop's, and stderr stays quiet."""
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
def test_what_the_user_sets_wins(tmp_path):
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
