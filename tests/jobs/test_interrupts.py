"""Ctrl-C in the terminal of ``spark-submit``: SIGINT to its group of processes."""

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from core import config, manifest
from core.storage import locks
from pipeline import runs
from pipeline.spark.clean import clean
from tests import small_crawl
from tests.commands import ROOT, spark_submit, spark_submit_command

JOB = "jobs/clean.py"
SECONDS = 180


def session_members(leader: int) -> list[int]:
    """Return the processes of a session, which Python workers remain in although they have another group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ends meanwhile
            if os.getsid(int(folder.name)) == leader and b"\0" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.mark.spark
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="finds the processes in /proc")
def test_an_interrupted_job_leaves_neither_lock_nor_process_and_a_rerun_completes(spark, tmp_path):
    crawl, out, log = small_crawl.build(tmp_path / "raw").folder, tmp_path / "out", tmp_path / "log"
    settings = [f'input.paths=["{crawl}"]', "output.progress_seconds=0.2"]
    arguments = [part for each in [*settings, f"output.path={out}"] for part in ("--set", each)]
    command, environment = spark_submit_command(ROOT / JOB, *arguments)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment["LC_ALL"] = "C"  # as in containers; the progress is in UTF-8 nevertheless
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=os.environ | environment, cwd=ROOT, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SECONDS
        running = re.compile(r"· writing records: \d of 6 tasks, [12] running")
        while not running.search(log.read_bytes().decode(errors="replace")):
            assert process.poll() is None and time.monotonic() < deadline, log.read_bytes()
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=SECONDS) == 130
        deadline = time.monotonic() + SECONDS
        while left := session_members(process.pid):  # Java ends first, and with it the command
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    finally:
        with suppress(OSError):  # it ends meanwhile
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    printed = [line for line in log.read_text().splitlines() if line]
    # Java passes on what Python prints, and is interrupted, too: the last line is lost if Java ends first.
    assert printed[-1] == "interrupted" or running.search(printed[-1])
    assert not [line for line in printed if re.search(r"Traceback|Exception| ERROR | WARN ", line)]
    assert locks._names(str(out)) == locks.contents(str(out))
    assert not (out / manifest.NAME).exists()
    (attempt,) = runs.read(str(out)).attempts
    assert attempt.outcome == "interrupted" and attempt.ended
    assert "clean: reading 6 files …" in spark_submit(ROOT / JOB, *arguments)
    undisturbed = clean(spark, config.load(None, [*settings, f"output.path={tmp_path / 'undisturbed'}"]))
    completed = manifest.read(str(out), "clean")
    manifest.verify(str(out), completed)
    assert completed.counts == undisturbed.counts
    assert [each.outcome for each in runs.read(str(out)).attempts] == ["interrupted", "finished"]
