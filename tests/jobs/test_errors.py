"""Errors of a job that ``spark-submit`` runs, in a terminal and in a log file."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.commands import ROOT, spark_submit_command

JOB = Path(__file__).with_name("failing_job.py")
ERROR = "error: input.paths: nothing there; check the path"


BARS = {
    "ours": (r"fail: sleeping: \d+ of 80 tasks, \d+ running", "false"),
    "Spark's": (r"\[Stage 0:", "true"),
}
"""Progress that is drawn, and whether Spark draws it."""


def _start(output: int, bar: str) -> subprocess.Popen[bytes]:
    """Start the job with progress shown often.

    ``spark-submit`` copies both outputs of the Python program to its own standard output; progress goes to
    its standard error.
    """
    options = ["spark.ui.consoleProgress.update.interval=100", f"spark.ui.showConsoleProgress={BARS[bar][1]}"]
    command, environment = spark_submit_command(
        JOB,
        "--set",
        "output.progress_seconds=2.5",
        options=tuple(part for option in options for part in ("--conf", option)),
    )
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(command, env=os.environ | environment, cwd=ROOT, stdout=output, stderr=output)


def _screen(output: str) -> list[str]:
    """Lines as a terminal shows them: a carriage return moves to the start of the line, ESC [K clears it."""
    lines = []
    for line in output.split("\n"):
        shown = ""
        for part in line.rstrip("\r").split("\r"):
            _, cleared, text = part.rpartition("\x1b[K")
            shown = text if cleared else text + shown[len(text) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.spark
@pytest.mark.parametrize("bar", BARS)
def test_error_replaces_the_progress_in_a_terminal(bar: str) -> None:
    terminal, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    process = _start(program, bar)
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
    assert re.search(BARS[bar][0], text)
    lines = [line for line in _screen(text) if line]
    assert lines[-1] == ERROR
    if bar == "ours":
        assert [line for line in lines if "fail" in line] == ["fail: sleeping …"]


@pytest.mark.spark
@pytest.mark.parametrize("bar", BARS)
def test_error_starts_on_a_fresh_line_in_a_log_file(tmp_path: Path, bar: str) -> None:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = _start(file.fileno(), bar)
        assert process.wait(timeout=120) == 1
    text = log.read_bytes().decode()
    assert re.search(BARS[bar][0], text)
    assert [line for line in text.split("\n") if line][-1] == ERROR
    if bar == "ours":
        assert re.search(rf"^\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d {BARS[bar][0]}", text, re.MULTILINE)
        assert "\r" not in text and "\x1b" not in text


@pytest.mark.spark
def test_an_interrupt_exits_with_130_and_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    _, environment = spark_submit_command(JOB)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment["PYSPARK_SUBMIT_ARGS"] = "--master local[2] --driver-memory 512m pyspark-shell"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(JOB)],
            env=os.environ | environment,
            cwd=ROOT,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while b"fail: sleeping" not in log.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
    lines = [line for line in log.read_text().splitlines() if line]
    assert lines[-1] == "interrupted" and not [line for line in lines if "Traceback" in line]
