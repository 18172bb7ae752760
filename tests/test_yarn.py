"""Jobs on YARN whose nodes have Spark, Java and a Python without packages.

The daemons and containers take about 80 s of CPU, so that only cluster mode is tested, where the driver needs
the archive too.
"""

import io
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pyspark
import pytest

from core import config, storage
from pipeline.spark.clean import clean
from tests import small_crawl
from tests.commands import ROOT, spark_submit_command
from tests.servers.yarn import yarn_cluster

TABLES = ("documents", "ledger", "quarantine")


def _rows(out, table):
    """Return the rows of a table by id."""
    files = [file.path for file in storage.list_files(storage.join(out, table))]
    tables = [pq.ParquetFile(io.BytesIO(storage.read_bytes(path))).read().to_pylist() for path in files]
    rows = [row for each in tables for row in each]
    found = {row["id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.spark
@pytest.mark.server
def test_driver_and_executor_in_containers_publish_what_a_local_session_does(spark, hdfs, archive, tmp_path):
    root = storage.join(hdfs, "yarn")
    for file in small_crawl.build(tmp_path / "raw").folder.iterdir():
        storage.upload(str(file), storage.join(root, "raw", file.name))
    settings = [f'input.paths=["{root}/raw"]']
    clean(spark, config.load(None, [*settings, f"output.path={tmp_path / 'local'}"]))
    storage.upload(str(archive.file), shipped := storage.join(root, archive.file.name))
    settings.append(f"output.path={root}/out")

    options = ["--master", "yarn", "--deploy-mode", "cluster", *archive.options(shipped)]
    options += ["--num-executors", "1", "--executor-cores", "2"]
    options += ["--driver-memory", "512m", "--executor-memory", "512m"]
    conf = {
        "executor.memoryOverhead": "1g",
        "yarn.appMasterEnv.PYTHONPATH": "gristmill",
        "yarn.jars": f"local:{Path(pyspark.__file__).parent}/jars/*",  # Spark is installed on the nodes
    }
    for key, value in conf.items():
        options += ["--conf", f"spark.{key}={value}"]
    arguments = [part for each in settings for part in ("--set", each)]
    command, environment = spark_submit_command(ROOT / "jobs/clean.py", *arguments, options=tuple(options))
    # Spark passes both variables on; the repository may be in the driver's PYTHONPATH.
    variables = os.environ | environment
    for name in ("PYSPARK_PYTHON", "PYTHONPATH"):
        variables.pop(name, None)
    with yarn_cluster(tmp_path, hdfs) as cluster:
        variables["HADOOP_CONF_DIR"] = str(cluster.configuration)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600)
        written = cluster.output("stdout"), cluster.output("stderr")
    assert done.returncode == 0, f"{done.stderr[-3000:]}\n{written[0][-3000:]}\n{written[1][-6000:]}"
    assert "clean: reading 6 files …" in written[0] and "clean: reading" not in done.stdout
    for table in TABLES:
        assert _rows(f"{root}/out", table) == _rows(str(tmp_path / "local"), table)
    assert len(_rows(f"{root}/out", "documents")) > 20
