from datetime import UTC, datetime, timedelta

import pytest

from pipeline.spark.steps.metrics import FROM_PYTHON, OUTPUT_ROWS, output_rows
from pipeline.spark.steps.progress import Progress, show_rate, snapshot


def stage(name: str = "clean: reading · writing records", age: float = 60, **numbers: int) -> dict:
    started = datetime.now(UTC) - timedelta(seconds=age)
    counts = {"numTasks": 10, "numCompletedIndices": 0, "numActiveTasks": 2, "numFailedTasks": 0}
    return {"name": name, "firstTaskLaunchedTime": f"{started:%Y-%m-%dT%H:%M:%S.%f}GMT"} | counts | numbers


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress("clean: finding copies", 75), "clean: finding copies: in the driver, 1 min 15 s"),
        (Progress("x", 5, tasks=10, running=2), "x: 0 of 10 tasks, 2 running"),
        (
            Progress("x", 5, tasks=10, done=4, running=2, failed=1, stage_seconds=40),
            "x: 4 of 10 tasks, 2 running, 1 attempt failed, about 1 min 0 s left",
        ),
        (
            Progress(
                "x", 5, tasks=2000, done=1000, running=8, stage_seconds=8000, rows=9000, query_seconds=9
            ),
            "x: 1,000 of 2,000 tasks, 8 running, 9,000 rows, 1,000 rows/s, about 2 h 13 min left",
        ),
        (
            Progress("x", 5, tasks=2, done=2, stage_seconds=9, rows=9, query_seconds=0.5),
            "x: 2 of 2 tasks, 0 running, 9 rows",
        ),
    ],
)
def test_line_has_tasks_rows_rate_and_remaining_time(progress, line):
    assert progress.line() == line


def test_a_step_without_stages_is_in_the_driver():
    assert snapshot("clean: x", 3.0, [], (0, 0.0)) == Progress("clean: x", 3.0)


def test_stages_of_one_part_are_shown_by_its_name_and_added():
    found = snapshot("clean: reading", 9, [stage(numCompletedIndices=3), stage(age=20)], (70, 7.0))
    assert found.title == "clean: reading · writing records"
    assert (found.tasks, found.done, found.running) == (20, 3, 4)
    assert found.stage_seconds == pytest.approx(60, abs=5)
    assert (found.rows, found.query_seconds) == (70, 7.0)


def test_stages_of_several_parts_are_shown_by_the_name_of_the_step():
    assert snapshot("clean: reading", 9, [stage("a"), stage("b")], (0, 0)).title == "clean: reading"


def test_a_stage_whose_tasks_wait_for_cores_has_no_age():
    waiting = stage() | {"firstTaskLaunchedTime": None}
    assert snapshot("x", 9, [waiting], (0, 0)).stage_seconds == 0


def _operator(number: int, *names: str) -> dict:
    return {"metrics": [{"name": name, "accumulatorId": number + i} for i, name in enumerate(names)]}


def test_rows_are_those_of_operators_that_run_python():
    operators = [
        _operator(0, OUTPUT_ROWS),
        _operator(10, FROM_PYTHON, OUTPUT_ROWS),
        _operator(20, "duration"),
    ]
    assert output_rows(operators, {"0": "9,999,999", "10": "3.0 KiB", "11": "1,234"}) == 1234
    assert output_rows(operators, {"0": "9,999,999"}) == 0
    assert output_rows(operators[::2], {"0": "9,999,999"}) == 9_999_999
    assert output_rows([], {}) == 0


def test_small_rates_have_a_decimal():
    assert [show_rate(rate) for rate in (0.04, 1.44, 9.96, 12.5, 5100)] == [
        "0.0",
        "1.4",
        "10.0",
        "12",
        "5,100",
    ]
