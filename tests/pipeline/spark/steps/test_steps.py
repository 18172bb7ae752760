"""Steps in a local session: names, numbers, and the record of finished, failed and resumed stages."""

import json
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from core import config
from core.errors import run
from core.stage import Stage
from pipeline import runs
from pipeline.runs import Usage
from pipeline.spark import clean as plan
from pipeline.spark import tables
from pipeline.spark.steps import metrics, named, part, recorded, step
from pipeline.spark.steps.metrics import StatusStore
from pipeline.spark.steps.naming import CALL_SITE, DESCRIPTION, GROUP
from tests import small_crawl

pytestmark = pytest.mark.spark


@pytest.fixture
def stage(tmp_path):
    claimed = Stage("test", str(tmp_path / "out"), "f", owned=("table",))
    assert claimed.begin() is None
    return claimed


def properties(spark):
    return [spark.sparkContext.getLocalProperty(key) for key in (GROUP, DESCRIPTION, CALL_SITE)]


def stage_names(spark, group):
    """Return the names of the stages of a group's jobs, and their descriptions in the UI."""
    store = StatusStore(spark.sparkContext)
    store.wait()
    jobs = [store.job(number) for number in store.job_ids(group)]
    stages = [attempt for job in jobs for each in job["stageIds"] for attempt in store.stage_attempts(each)]
    ran = [each for each in stages if each["status"] != "SKIPPED"]
    assert ran
    return {(each["name"], each["description"]) for each in ran}


def test_names_are_nested_and_restored(spark):
    before = properties(spark)
    with named("test: outer", "group"):
        assert properties(spark) == ["group", "test: outer", "test: outer"]
        with pytest.raises(ZeroDivisionError), part("inner"):
            assert properties(spark) == ["group", *["test: outer · inner"] * 2]
            raise ZeroDivisionError
        assert properties(spark) == ["group", "test: outer", "test: outer"]
    assert properties(spark) == before


@pytest.mark.parametrize(
    "action",
    [
        lambda frame: frame.collect(),
        lambda frame: frame.toArrow(),
        lambda frame: frame.count(),
        lambda frame: frame.isEmpty(),
        lambda frame: list(frame.toLocalIterator()),
        lambda frame: frame.foreachPartition(lambda _: None),
        lambda frame: frame.join(F.broadcast(frame), "id").groupBy("id").count().toPandas(),
        lambda frame: frame.rdd.map(lambda row: row).sum if frame.rdd.count() else None,
    ],
    ids=["collect", "toArrow", "count", "isEmpty", "toLocalIterator", "foreachPartition", "toPandas", "rdd"],
)
def test_every_action_names_its_jobs_and_stages(spark, action, request):
    name = f"test: {request.node.callspec.id}"
    with named(name, name):
        action(spark.range(100).repartition(3).mapInArrow(lambda batches: batches, "id long"))
    assert stage_names(spark, name) == {(name, name)}


def test_a_step_is_recorded_with_what_it_used(spark, stage, capsys):
    with recorded(stage, input_bytes=5), step("table", "test: writing 1,000 rows"):
        tables.write(spark.range(1000).repartition(4), f"{stage.folder}/table")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "test: writing 1,000 rows …"
    assert lines[1].startswith("test: writing 1,000 rows: ") and lines[1].endswith(", 1,000 records written")
    (attempt,) = runs.read(stage.folder).attempts
    assert (attempt.outcome, attempt.input_bytes, attempt.cluster.master) == ("finished", 5, "local[2]")
    assert (attempt.cluster.executors, attempt.cluster.cores) == (1, 2)
    assert set(attempt.versions) == {"Gristmill", "Python", "Spark", "Java", "pyarrow"}
    (made,) = attempt.steps
    assert (made.name, made.title, made.outcome) == ("table", "test: writing 1,000 rows", "finished")
    used = made.usage
    assert used.jobs >= 1 and used.stages == 2 and used.tasks >= 5
    assert used.records_written == 1000
    written = sum(file.stat().st_size for file in (Path(stage.folder) / "table").iterdir())
    assert used.bytes_written == written
    assert used.shuffle_bytes_written == used.shuffle_bytes_read > 0
    assert used.executor_seconds > 0
    assert (used.failed_tasks, used.missing_stages, used.retried_stages) == (0, 0, 0)


def test_memory_of_a_sort_is_recorded(spark, stage):
    with recorded(stage), step("sort", "test: sorting"):
        spark.range(200_000).repartition(2).sortWithinPartitions(F.desc("id")).toArrow()
    assert runs.read(stage.folder).attempts[0].steps[0].usage.peak_task_memory > 1 << 20


def test_failed_tasks_and_the_failed_step_are_recorded(spark, stage):
    def fail(_):
        raise ZeroDivisionError

    with pytest.raises(Exception, match="ZeroDivisionError"), recorded(stage), step("table", "test: failing"):
        spark.range(10).foreachPartition(fail)
    (attempt,) = runs.read(stage.folder).attempts
    assert attempt.outcome == "failed" and attempt.ended
    assert attempt.steps[0].outcome == "failed"
    assert attempt.steps[0].usage.failed_tasks >= 1


def test_an_interrupted_step_is_recorded_as_such(spark, stage):
    with pytest.raises(KeyboardInterrupt), recorded(stage), step("table", "test: interrupted"):
        raise KeyboardInterrupt
    (attempt,) = runs.read(stage.folder).attempts
    assert (attempt.outcome, attempt.steps[0].outcome) == ("interrupted", "interrupted")


def test_nothing_is_written_to_a_folder_that_is_not_claimed(spark, tmp_path):
    unclaimed = Stage("test", str(tmp_path / "out"), "f")
    with recorded(unclaimed), step("table", "test: nothing"):
        pass
    assert not (tmp_path / "out").exists()


def test_a_record_that_cannot_be_written_is_a_warning(spark, stage, monkeypatch, capsys):
    (Path(stage.folder) / "run.json").mkdir()
    (Path(stage.folder) / "run.json" / "x").touch()
    with recorded(stage):
        for number in range(2):
            with step(str(number), f"test: {number}"):
                pass
    assert capsys.readouterr().err.count("warning: the run is not recorded: ") == 1


def test_stages_that_spark_has_dropped_are_counted(spark, stage, monkeypatch):
    monkeypatch.setattr(StatusStore, "stage_attempts", lambda *_: [])
    with recorded(stage), step("table", "test: dropped"):
        spark.range(10).collect()
    used = runs.read(stage.folder).attempts[0].steps[0].usage
    assert (used.jobs, used.stages, used.missing_stages) == (1, 0, 1)


def test_jobs_that_spark_has_dropped_are_counted(spark, stage, monkeypatch):
    lost = []
    with recorded(stage), step("table", "test: dropped"):
        job_ids, job = StatusStore.job_ids, StatusStore.job
        for _ in range(3):
            spark.sparkContext.parallelize([1], 1).count()
        monkeypatch.setattr(
            StatusStore,
            "job_ids",
            lambda self, group: lost.append(job_ids(self, group)[1]) or job_ids(self, group)[::2],
        )
        monkeypatch.setattr(
            StatusStore, "job", lambda self, number: None if number in lost else job(self, number)
        )
    used = runs.read(stage.folder).attempts[0].steps[0].usage
    assert (used.jobs, used.stages, used.missing_stages) == (3, 2, 1)


def test_a_store_that_cannot_be_read_is_one_warning(spark, stage, monkeypatch, capsys):
    monkeypatch.setattr(metrics, "_warned", set())
    monkeypatch.setattr(StatusStore, "_java", property(lambda _: {}["statusStore"]))
    with recorded(stage), step("table", "test: unreadable"), part("inner"):
        spark.range(10).collect()
    assert capsys.readouterr().err == "warning: numbers of Spark are missing: KeyError: 'statusStore'\n"
    (attempt,) = runs.read(stage.folder).attempts
    assert (attempt.outcome, attempt.cluster.master, attempt.cluster.cores) == ("finished", "local[2]", 0)
    assert attempt.steps[0].usage == Usage()


def test_summaries_of_large_stages_are_left_out(spark, stage, monkeypatch):
    monkeypatch.setattr(metrics, "MAX_SUMMARIZED", 1)
    monkeypatch.setattr(StatusStore, "peak_task_memory", lambda *_: pytest.fail("summarized"))
    with recorded(stage), step("table", "test: large"):
        spark.sparkContext.parallelize([1, 2], 2).count()
    assert runs.read(stage.folder).attempts[0].steps[0].usage.tasks == 2


def test_an_interrupted_stage_is_written_once(spark, stage, monkeypatch):
    written = []
    monkeypatch.setattr(runs, "write", lambda _, record: written.append(record.attempts[-1]))
    with pytest.raises(KeyboardInterrupt), recorded(stage), step("table", "test: interrupted"):
        raise KeyboardInterrupt
    assert [attempt.outcome for attempt in written] == ["running", "interrupted"]
    assert len(written[-1].steps) == 1


def test_after_an_interrupt_storage_that_has_failed_is_not_tried(spark, stage, monkeypatch, capsys):
    tried = []

    def fail(*_):
        tried.append(1)
        raise ValueError("x")

    monkeypatch.setattr(runs, "write", fail)
    with pytest.raises(KeyboardInterrupt), recorded(stage):
        raise KeyboardInterrupt
    assert tried == [1]
    assert capsys.readouterr().err == "warning: the run is not recorded: ValueError: x\n"


def test_a_driver_that_lost_its_lock_does_not_write(spark, tmp_path, capsys):
    stage = Stage("test", str(tmp_path / "out"), "f", owned=("table",))
    with stage.claim() as done:
        assert done is None
        with recorded(stage):
            other = b"another driver's"
            (tmp_path / "out" / "run.json").write_bytes(other)
            next((tmp_path / "out").glob(".lock-*")).unlink()
            with step("table", "test: lost"):
                pass
    assert (tmp_path / "out" / "run.json").read_bytes() == other
    assert "warning: the run is not recorded: " in capsys.readouterr().err


class BrokenContext:
    """A Spark context whose JVM ends after the names of the first block were set."""

    master, _jvm, _gateway = "local[2]", None, None

    def __init__(self):
        self._jsc, self.calls = self, 0

    def getLocalProperty(self, _):  # noqa: N802 (as Spark calls it)
        return None

    def setLocalProperty(self, *_):  # noqa: N802
        self.calls += 1
        if self.calls > 3:
            raise ConnectionRefusedError

    def getConf(self):  # noqa: N802
        return {}

    def sc(self):
        raise ConnectionRefusedError


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_end_of_the_jvm_does_not_hide_an_exception(monkeypatch, error):
    context = BrokenContext()
    for module in ("step_context", "naming"):
        monkeypatch.setattr(f"pipeline.spark.steps.{module}.active_context", lambda: context)

    def main(_):
        with step("x", "test: broken"):
            raise error

    with pytest.raises(SystemExit if error is KeyboardInterrupt else error) as caught:
        run(main)
    assert context.calls > 3
    assert error is not KeyboardInterrupt or caught.value.code == 130


def test_steps_without_spark_are_timed(monkeypatch, capsys):
    monkeypatch.setattr("pipeline.spark.steps.step_context.active_context", lambda: None)
    monkeypatch.setattr("pipeline.spark.steps.naming.active_context", lambda: None)
    with step("x", "test: without Spark"), part("inner"):
        pass
    assert capsys.readouterr().out == "test: without Spark …\ntest: without Spark: 0.0 s\n"


def test_the_record_of_a_resumed_run_has_all_attempts(spark, tmp_path, monkeypatch):
    crawl = small_crawl.build(tmp_path / "raw")
    settings = config.load(
        None, [f"input.paths={json.dumps(crawl.paths)}", f"output.path={tmp_path / 'out'}"]
    )

    def fail(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(plan, "find_copies", fail)
        plan.clean(spark, settings)
    made = plan.clean(spark, settings)
    assert "run.json" not in {file.path for file in made.files}
    record = runs.read(str(tmp_path / "out"))
    assert record.fingerprint == made.fingerprint
    failed, finished = record.attempts
    assert (failed.outcome, [each.name for each in failed.steps]) == ("failed", ["records"])
    names = [each.name for each in finished.steps]
    assert (finished.outcome, names) == ("finished", ["copies", "documents", "counts"])
    assert list(record.last_steps()) == ["records", *names]
    assert failed.input_bytes == sum(file.stat().st_size for file in crawl.folder.iterdir())
    assert failed.steps[0].usage.records_written == made.counts["records_in"]
    assert plan.clean(spark, settings) == made
    assert runs.read(str(tmp_path / "out")) == record
