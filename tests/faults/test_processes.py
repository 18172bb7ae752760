"""Jobs on local disk whose processes are killed or hang, and jobs on full disks."""

import os
import random
import signal
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from tests.faults.cells import cells
from tests.faults.drivers import (
    Outcome,
    driver,
    find_processes,
    python_workers,
    send,
)
from tests.faults.jobs import Jobs
from tests.faults.small_disk import SmallDisk
from tests.test_cluster import SPECULATION

pytestmark = pytest.mark.spark
STAGES = ("clean", "dedup", "pack")
KILLS = 2
ATTEMPTS = 5
"""Starts of a job that may have ended before it is killed; each waits half as long as the one before."""
DISK = "24m"
FREE = {"clean": 40_000, "dedup": 20_000, "pack": 20_000}
"""Bytes left on a full disk for the output: enough to begin."""


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """Jobs on local disk; shuffle files are in ``shuffle`` beside them."""
    folder = tmp_path_factory.mktemp("faults-local")
    options = ("--conf", f"spark.local.dir={folder / 'shuffle'}")
    with driver(folder, "spark", {}, options) as spark, driver(folder, "train", {}) as train:
        yield Jobs(str(folder / "files"), folder, spark, train)


def _reach(jobs, work, running, share):
    """Wait for the step of a job at a share of all steps, from 0 to below 1; return False if it has ended."""
    steps = jobs.steps[work.job]
    if not steps:
        time.sleep(share * jobs.seconds[work.job])
        return not running.has_ended
    return running.wait_for(steps[int(share * len(steps))]) and not running.has_ended


@pytest.mark.parametrize("stage", cells((*STAGES, "train"), short=[("pack",)]))
def test_killed_driver_is_resumed(local, cell, stage):
    record = cell(f"all processes killed {KILLS} times", stage, "local")
    draw, kills, delay = random.Random(stage), 0, 1.0
    for _ in range(ATTEMPTS):
        work = local.prepare(stage)
        for _ in range(KILLS):
            running = local.start(work)
            _reach(local, work, running, delay * draw.random())
            time.sleep(delay * draw.uniform(0, 1))
            kills += not running.has_ended
            local.driver(stage).kill()
        if kills:
            break
        delay /= 2
    assert kills, "the job always ended before it was killed"
    record(local.judge(work, Outcome(None, "", "", 0.0), killed=True))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_lost_java_is_reported(local, cell, stage):
    record = cell("Spark's Java killed", stage, "local")
    work = local.prepare(stage)
    running = local.start(work)
    assert _reach(local, work, running, 0)
    assert send(signal.SIGKILL, find_processes(local.spark.pid, "java", "pyspark-shell")[:1])
    outcome = running.wait()
    local.spark.kill()
    record(local.judge(work, outcome))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_lost_python_worker(local, cell, stage):
    record = cell("Python workers killed", stage, "local")
    work = local.prepare(stage)
    local.spark.kill()  # so that there are no idle workers
    running = local.start(work)
    assert _reach(local, work, running, 0)
    while not (workers := python_workers(local.spark.pid)) and not running.has_ended:
        time.sleep(0.01)
    assert send(signal.SIGKILL, workers)
    record(local.judge(work, running.wait()))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_deleted_shuffle_files_are_made_again(local, cell, stage, tmp_path):
    record = cell("two shuffle files deleted", stage, "local")
    work = local.prepare(stage)
    folder = local.folder / "shuffle"
    with _deleting(folder, 2) as deleted:
        outcome = local.run(work)
    assert deleted
    record(local.judge(work, outcome))


@contextmanager
def _deleting(folder, count):
    """Delete the first ``count`` shuffle files that appear below a folder; yield the list of their paths."""
    deleted, ended = [], threading.Event()
    before = set(folder.rglob("shuffle_*.data"))

    def delete():
        while not ended.is_set() and len(deleted) < count:
            with suppress(FileNotFoundError):
                for path in set(folder.rglob("shuffle_*.data")) - before:
                    if len(deleted) < count and path not in deleted:
                        path.unlink()
                        deleted.append(path)
            time.sleep(0.002)

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        yield deleted
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("stage", cells(STAGES))
def test_full_disk_is_reported(local, cell, stage, tmp_path):
    record = cell("disk of the output full", stage, "local")
    local.finish(stage)
    disk = SmallDisk(tmp_path / "disk", DISK)
    disk.folder.mkdir()
    with driver(tmp_path, "spark", {}, prefix=disk.prefix) as small:
        seen = f"{disk.seen_by_others(small.pid)}/out"
        work = local.work(stage, f"{disk.folder}/out")
        local.copy_required(stage, seen)
        disk.fill(small.pid, FREE[stage])
        outcome = local.run(work, small)
        assert outcome.code != 0, "the disk was large enough"
        disk.free(small.pid)
        record(local.judge(work, outcome, small, seen_at=seen))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_full_disk_of_shuffle_files_is_reported(local, cell, stage, tmp_path):
    record = cell("disk of spark.local.dir full", stage, "local")
    work = local.prepare(stage)
    disk = SmallDisk(tmp_path / "disk", DISK)
    disk.folder.mkdir()
    options = ("--conf", f"spark.local.dir={disk.folder}")
    with driver(tmp_path, "spark", {}, options, disk.prefix) as small:
        disk.fill(small.pid, 0)
        outcome = local.run(work, small)
        assert outcome.code != 0, "the disk was large enough"
        disk.free(small.pid)
        record(local.judge(work, outcome, small))


@pytest.mark.parametrize("stage", cells(STAGES))
def test_two_drivers_with_one_output(local, cell, stage, tmp_path):
    record = cell("two drivers with one output", stage, "local")
    work = local.prepare(stage)
    with driver(tmp_path, "spark", {}) as other:
        record(local.race(work, other))


@pytest.fixture
def clustered(cluster, local, tmp_path):
    """A function that returns a driver on the cluster, with settings of Spark."""
    made = []

    def make(settings):
        options = ["--master", cluster]
        for item in settings.items():
            options += ["--conf", "=".join(item)]
        made.append(driver(tmp_path, "spark", {}, options))
        return made[-1].__enter__()

    yield make
    for each in made:
        each.__exit__(None, None, None)


def _executors():
    """The executors on this machine that belong to the test's cluster."""
    return find_processes(os.getpid(), "CoarseGrainedExecutorBackend")


@pytest.mark.server
@pytest.mark.parametrize(("stage", "share"), cells(STAGES, [0.0, 0.5]))
def test_lost_executor_is_replaced(local, clustered, cell, stage, share):
    record = cell(f"executor killed while {'shuffling' if share else 'reading'}", stage, "cluster")
    spark, delay, killed = clustered({}), 0.3, 0
    for _ in range(ATTEMPTS):
        work = local.prepare(stage)
        running = local.start(work, spark)
        if _reach(local, work, running, share):
            time.sleep(delay)
            killed = 0 if running.has_ended else send(signal.SIGKILL, _executors()[:1])
        outcome = running.wait()
        if killed:
            break
        delay /= 2
    assert killed, "the job always ended before an executor was killed"
    record(local.judge(work, outcome, spark))


@pytest.mark.server
@pytest.mark.parametrize("stage", cells(STAGES))
def test_task_that_hangs_is_overtaken(local, clustered, cell, stage):
    record = cell("a task hangs, with speculation", stage, "cluster")
    settings = {key: value for key, value in SPECULATION.items() if key.startswith("spark.speculation")}
    work, spark = local.prepare(stage), clustered(settings)
    running = local.start(work, spark)
    assert _reach(local, work, running, 0)
    stopped = []
    while not stopped and not running.has_ended:
        stopped = [pid for executor in _executors()[:1] for pid in python_workers(executor)]
        time.sleep(0.01)
    assert send(signal.SIGSTOP, stopped)
    try:
        record(local.judge(work, running.wait(), spark))
    finally:
        send(signal.SIGKILL, stopped)
