import json

import pytest

from core.errors import ManifestError
from pipeline import runs
from pipeline.runs import Attempt, Cluster, RunRecord, Step, Usage

CLUSTER = Cluster(master="local[2]", application="local-1", executors=1, cores=2)


def step(name: str, seconds: float = 1.0, outcome: str = "finished", **usage: int) -> Step:
    return Step(
        name=name, title=f"clean: {name}", started="2026-01-02T03:04:05+00:00", seconds=seconds,
        outcome=outcome, usage=Usage(**usage),
    )  # fmt: skip


def attempt(*steps: Step, outcome: str = "finished") -> Attempt:
    return Attempt(
        started="2026-01-02T03:04:05+00:00", ended="2026-01-02T04:04:05+00:00", outcome=outcome,
        versions={"Spark": "4.3.0"}, cluster=CLUSTER, steps=steps,
    )  # fmt: skip


def record(*attempts: Attempt, stage: str = "clean", fingerprint: str = "f") -> RunRecord:
    return RunRecord(stage=stage, fingerprint=fingerprint, attempts=attempts)


def test_counts_are_added_and_peaks_are_maxima():
    one = Usage(tasks=3, bytes_read=10, gc_seconds=0.1, peak_task_memory=7, peak_python_resident=1)
    other = Usage(tasks=4, failed_tasks=1, gc_seconds=0.2, peak_task_memory=5, peak_python_resident=9)
    assert one + other == Usage(
        tasks=7, failed_tasks=1, bytes_read=10, gc_seconds=0.3, peak_task_memory=7, peak_python_resident=9
    )


def test_a_record_is_read_as_it_was_written(tmp_path):
    written = record(attempt(step("records", 2.5, tasks=3)))
    runs.write(str(tmp_path), written)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert runs.read(str(tmp_path)) == written


def test_the_steps_that_made_the_output_are_the_last_finished_ones():
    first = attempt(step("records", 5), step("copies", 3, "failed"), outcome="failed")
    found = record(first, attempt(step("copies", 4), step("documents", 1))).last_steps()
    assert {name: each.seconds for name, each in found.items()} == {"records": 5, "copies": 4, "documents": 1}


def test_only_attempts_at_the_same_output_are_continued(tmp_path):
    assert runs.resume(str(tmp_path), "clean", "f").attempts == ()
    runs.write(str(tmp_path), record(attempt(step("records"))))
    assert len(runs.resume(str(tmp_path), "clean", "f").attempts) == 1
    assert runs.resume(str(tmp_path), "clean", "other") == record(fingerprint="other")
    assert runs.resume(str(tmp_path), "dedup", "f") == record(stage="dedup")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no run.json; name the folder of a stage that Spark ran"),
        ("[]", "not a run record; remove it"),
        ('{"stage": "clean"', "not a run record; remove it"),
        (json.dumps({"schema_version": 9, "stage": "clean", "fingerprint": ""}), "schema version 9, but"),
    ],
)
def test_missing_and_invalid_records_are_reported_in_one_line(tmp_path, content, message):
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(ManifestError) as caught:
        runs.read(str(tmp_path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert runs.resume(str(tmp_path), "clean", "f") == record()
