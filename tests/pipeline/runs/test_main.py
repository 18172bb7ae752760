import pytest

from core.errors import ManifestError, MismatchError
from pipeline import runs
from pipeline.runs import table
from pipeline.runs.__main__ import main
from tests.pipeline.runs.test_record import attempt, record, step


@pytest.fixture
def two_runs(tmp_path, monkeypatch):
    """Folders ``a`` and ``b``; the second run took half the time, failed once, and has a step more."""
    monkeypatch.chdir(tmp_path)
    steps = step("records", 90, tasks=4, bytes_written=3 << 20), step("copies", 10, tasks=2)
    runs.write("a", record(attempt(*steps)))
    failed = attempt(step("records", 45, tasks=8, bytes_written=3 << 20), outcome="failed")
    resumed = attempt(step("copies", 5, tasks=2, failed_tasks=1), step("cuts", 1, tasks=1))
    runs.write("b", record(failed, resumed, fingerprint="g"))


def test_runs_are_compared_by_step(two_runs, capsys):
    main(["compare", "a", "b"])
    assert capsys.readouterr().out.splitlines() == [
        "A: a: clean, 1 attempt",
        "   local[2], 1 executor, 2 cores; Spark 4.3.0",
        "B: b: clean, 2 attempts",
        "   local[2], 1 executor, 2 cores; Spark 4.3.0",
        "configuration and input: different",
        "                          A        B   B/A",
        "records",
        "  wall time      1 min 30 s   45.0 s  0.50",
        "  tasks                   4        8  2.00",
        "  bytes written     3.0 MiB  3.0 MiB  1.00",
        "copies",
        "  wall time          10.0 s    5.0 s  0.50",
        "  tasks                   2        2  1.00",
        "  failed tasks            -        1     -",
        "cuts",
        "  wall time               -    1.0 s",
        "  tasks                   -        1",
        "all steps        1 min 40 s   51.0 s  0.51",
    ]


def test_the_attempts_of_a_run_are_shown(two_runs, capsys):
    main(["show", "b"])
    times = "2026-01-02T03:04:05+00:00 to 2026-01-02T04:04:05+00:00"
    assert capsys.readouterr().out.splitlines() == [
        f"clean, attempt 1 of 2: {times}, failed",
        "  local[2], 1 executor, 2 cores; Spark 4.3.0",
        "  step     wall time  tasks  bytes written",
        "  records     45.0 s      8        3.0 MiB",
        f"clean, attempt 2 of 2: {times}, finished",
        "  local[2], 1 executor, 2 cores; Spark 4.3.0",
        "  step    wall time  tasks  failed tasks",
        "  copies      5.0 s      2             1",
        "  cuts        1.0 s      1             -",
    ]


def test_a_folder_without_a_record_is_named(two_runs, tmp_path):
    for arguments in (["show", "c"], ["compare", "a", "c"]):
        with pytest.raises(ManifestError) as caught:
            main(arguments)
        assert str(caught.value).startswith(f"{tmp_path}/c: has no run.json; ")


def test_runs_of_different_stages_are_not_compared(two_runs):
    runs.write("shards", record(attempt(step("shards")), stage="pack"))
    with pytest.raises(MismatchError, match=r"^a is a run of clean, shards one of pack: they have different"):
        main(["compare", "a", "shards"])


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB"), (5000 << 40, "5000.0 TiB")],
)
def test_sizes_have_binary_units(size, shown):
    assert table.show_bytes(size) == shown
