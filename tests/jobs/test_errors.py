"""Errors of a job that ``spark-submit`` runs, in a terminal and in a log file."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.commands import ROOT, spark_submit_command

JOB = Path(__file__).with_name("failing_job.py")
ERROR = "error: input.paths: nothing there; check the path"


def _start(output: int) -> subprocess.Popen[bytes]:
    """Start the job with the progress bar updated often.

    ``spark-submit`` copies both outputs of the Python program to its own standard output; the bar goes to its
    standard error.
    """
    command, environment = spark_submit_command(
        JOB, options=("--conf", "spark.ui.consoleProgress.update.interval=100")
    )
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(command, env=os.environ | environment, cwd=ROOT, stdout=output, stderr=output)


def _screen(output: str) -> list[str]:
    """Lines as a terminal shows them: a carriage return moves back to the start of the line."""
    lines = []
    for line in output.split("\n"):
        shown = ""
        for part in line.rstrip("\r").split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.spark
def test_error_replaces_the_progress_bar_in_a_terminal() -> None:
    terminal, program = pty.openpty()
    process = _start(program)
    os.close(program)
    output = b""
    try:
        while part := os.read(terminal, 1 << 16):
            output += part
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 1
    text = output.decode()
    assert "[Stage 0:" in text
    assert [line for line in _screen(text) if line][-1] == ERROR


@pytest.mark.spark
def test_error_starts_on_a_fresh_line_in_a_log_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = _start(file.fileno())
        assert process.wait(timeout=120) == 1
    text = log.read_bytes().decode()
    assert "[Stage 0:" in text
    assert [line for line in text.split("\n") if line][-1] == ERROR
