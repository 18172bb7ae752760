"""Output of jobs for operators: the names in Spark's event log, the printed lines and the log file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline import runs
from tests import small_crawl
from tests.commands import ROOT, spark_submit

SETTINGS = """
[tokenizer]
vocabulary_size = 600
[pack]
sequence_length = 64
"""
TAKEN = r"(?:\d+\.\d s|\d+ min \d+ s|\d+ h \d+ min)"
STAGES = ("clean", "tokenizer", "pack", "signature_index", "dedup")


class Run(NamedTuple):
    folder: Path
    printed: list[str]
    events: list[dict[str, Any]]


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of all logs below a folder."""
    for log in sorted(folder.rglob("events_*")):
        for line in log.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Clean, tokenizer, pack, signature index and dedup in one job, with the event log and a log file."""
    folder = tmp_path_factory.mktemp("operation")
    small_crawl.build(folder / "raw")
    (folder / "events").mkdir()
    paths = f"input.paths = ['{folder}/raw']\noutput.path = '{folder}/out'\n"
    paths += f"output.log_file = '{folder}/logs/run.log'\noutput.progress_seconds = 0.5\n"
    config = folder / "config.toml"
    config.write_text(f"{paths}{SETTINGS}", encoding="utf-8")
    settings = {"enabled": "true", "dir": (folder / "events").as_uri(), "compress": "false"}
    options = [
        part for key, value in settings.items() for part in ("--conf", f"spark.eventLog.{key}={value}")
    ]
    printed = spark_submit(ROOT / "tests/data_half.py", "--config", str(config), options=tuple(options))
    return Run(folder, printed.splitlines(), list(read_events(folder / "events")))


def _named(run: Run, event: str) -> list[dict[str, Any]]:
    return [each for each in run.events if each["Event"] == event]


@pytest.mark.spark
def test_every_stage_of_the_event_log_has_the_name_of_its_step(run: Run) -> None:
    stages = _named(run, "SparkListenerStageSubmitted")
    assert len(stages) > 50
    names = {stage["Stage Info"]["Stage Name"] for stage in stages}
    assert not [name for name in names if "$" in name or " at " in name]
    for stage in stages:
        name = stage["Stage Info"]["Stage Name"]
        assert name == stage["Properties"]["spark.job.description"]
        assert name.partition(": ")[0] in STAGES
        assert name.startswith(re.sub(r" \[\d+\]$", "", stage["Properties"]["spark.jobGroup.id"]))
    assert {"clean: finding copies · writing copies", "pack: counting tokens"} <= names


@pytest.mark.spark
def test_every_job_and_query_of_the_event_log_has_a_description(run: Run) -> None:
    jobs = [job["Properties"]["spark.job.description"] for job in _named(run, "SparkListenerJobStart")]
    queries = [
        each["description"]
        for each in run.events
        if each["Event"].endswith(".SparkListenerSQLExecutionStart")
    ]
    assert len(jobs) > 50 and len(queries) > 20
    for description in jobs + queries:
        assert description.partition(": ")[0] in STAGES


@pytest.mark.spark
def test_printed_lines_name_each_step_when_it_starts_and_ends(run: Run) -> None:
    assert "clean: reading 6 files …" in run.printed
    ends = [line for line in run.printed if re.fullmatch(rf"clean: .*: {TAKEN}, \d+ tasks?.*", line)]
    assert [line.split(":")[1] for line in ends] == [
        " reading 6 files",
        " finding copies",
        " publishing documents, ledger, quarantine",
        " counting documents, hashing files",
    ]
    assert not [line for line in run.printed if "Stage" in line or "\r" in line]


@pytest.mark.spark
def test_log_file_has_every_printed_line_with_its_time(run: Run) -> None:
    lines = (run.folder / "logs" / "run.log").read_text(encoding="utf-8").splitlines()
    stamped = [re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (.*)", line) for line in lines]
    assert all(stamped)
    texts = [found[2] for found in stamped if found]
    assert [line for line in texts if line in set(run.printed)] == run.printed
    shown = [text for text in texts if re.search(r": (\d+ of \d+ tasks?, \d+ running|in the driver, )", text)]
    attempts = runs.read(str(run.folder / "out")).attempts
    # Steps shorter than two seconds show nothing; there may be none of others on a fast machine.
    assert shown or max(step.seconds for step in attempts[0].steps) < 4


@pytest.mark.spark
@pytest.mark.parametrize(
    ("folder", "stage", "steps"),
    [
        ("out", "clean", ["records", "copies", "documents", "counts"]),
        ("out/tokenizer", "tokenizer", ["tokenizer"]),
        ("out/shards", "pack", ["tokens", "counts", "shards"]),
        ("out.again", "dedup", ["records", "copies", "duplicates", "documents", "counts"]),
    ],
)
def test_every_stage_is_recorded(run: Run, folder: str, stage: str, steps: list[str]) -> None:
    found = runs.read(str(run.folder / folder))
    (attempt,) = found.attempts
    assert (found.stage, attempt.outcome) == (stage, "finished")
    assert [step.name for step in attempt.steps] == steps
    assert all(step.usage.tasks for step in attempt.steps)
    assert not any(step.usage.missing_stages for step in attempt.steps)
