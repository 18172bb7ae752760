"""Jobs on an HDFS cluster that loses DataNodes or its NameNode, is in safe mode, or has damaged blocks."""

import time
from pathlib import Path

import pytest

from core import storage
from tests.faults.cells import cells
from tests.faults.drivers import driver
from tests.faults.jobs import Jobs
from tests.servers.hdfs import hdfs_cluster

pytestmark = [pytest.mark.spark, pytest.mark.server]
STAGES = ("clean", "pack", "train")
COPIES = 2
ATTEMPTS = 5
"""Starts of a job that may have ended before the fault comes."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A cluster of three DataNodes with two copies of each block, and the jobs on it."""
    folder = tmp_path_factory.mktemp("faults-hdfs")
    options = ("--conf", f"spark.hadoop.dfs.replication={COPIES}")
    with (
        hdfs_cluster(folder, datanodes=3, replication=COPIES) as cluster,
        driver(folder, "spark", {}, options) as spark,
        driver(folder, "train", {}) as train,
    ):
        yield cluster, Jobs(storage.join(cluster.url, "faults"), folder / "jobs", spark, train)


def _begin(jobs, stage):
    """Start a job; return it when its first step has begun, or a third of its usual time has passed.

    A job without steps that has ended by then is repeated, with a shorter wait.
    """
    share = 1 / 3
    for _ in range(ATTEMPTS):
        work = jobs.prepare(stage)
        running = jobs.start(work)
        if steps := jobs.steps[stage]:
            assert running.wait_for(steps[0])
        else:
            time.sleep(share * jobs.seconds[stage])
        if not running.has_ended:
            return work, running
        assert running.wait().code == 0
        share /= 2
    pytest.fail(f"{stage} always ended before the fault")


@pytest.mark.parametrize(("stage", "number"), cells(STAGES, [0, 1]))
def test_lost_datanode_is_replaced(served, cell, stage, number):
    record = cell(f"DataNode {number + 1} of 3 killed", stage, "HDFS")
    cluster, jobs = served
    work, running = _begin(jobs, stage)
    cluster.kill_datanode(number)
    try:
        outcome = running.wait()
    finally:
        cluster.start_datanode(number)
    record(jobs.judge(work, outcome))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_namenode_restarts(served, cell, stage):
    record = cell("NameNode killed and started again", stage, "HDFS")
    cluster, jobs = served
    work, running = _begin(jobs, stage)
    cluster.kill_namenode()
    time.sleep(1)
    cluster.start_namenode()
    record(jobs.judge(work, running.wait()))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_safe_mode_is_reported(served, cell, stage):
    record = cell("NameNode in safe mode", stage, "HDFS")
    cluster, jobs = served
    work = jobs.prepare(stage)
    cluster.set_safe_mode(True)
    try:
        outcome = jobs.run(work)
    finally:
        cluster.set_safe_mode(False)
    assert outcome.code != 0
    record(jobs.judge(work, outcome))


@pytest.mark.parametrize(("stage", "copies"), cells(STAGES, [1, COPIES], short=[("clean", 1)]))
def test_damaged_blocks_are_not_read(served, cell, stage, copies):
    record = cell(f"{'a copy' if copies == 1 else 'all copies'} of a block damaged on disk", stage, "HDFS")
    cluster, jobs = served
    work = jobs.prepare(stage)
    damaged = cluster.corrupt(storage.read_bytes(_read_by(jobs, work)), copies)
    assert len(damaged) == copies
    try:
        outcome = jobs.run(work)
    finally:
        cluster.repair(damaged)
    record(jobs.judge(work, outcome))


def _read_by(jobs, work):
    """Return a data file that a job reads."""
    if work.job == "clean":
        return next(each.path for each in jobs.inputs if Path(each.path).name == "second.warc")
    folder, ending = {"pack": ("documents", ".parquet"), "train": ("shards/train", ".arrow")}[work.job]
    files = storage.list_files(storage.join(work.out, folder))
    return next(each.path for each in files if each.path.endswith(ending))


@pytest.mark.parametrize("stage", cells(["clean", "pack"]))
def test_two_drivers_with_one_output(served, cell, stage, tmp_path):
    record = cell("two drivers with one output", stage, "HDFS")
    _, jobs = served
    work = jobs.prepare(stage)
    with driver(tmp_path, "spark", {}) as other:
        record(jobs.race(work, other))
