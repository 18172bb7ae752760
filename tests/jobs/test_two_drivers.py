"""Two drivers of the same job on the same output."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from core import manifest
from core.storage import holders, locks
from tests import small_crawl
from tests.commands import ROOT, spark_submit, spark_submit_command

pytestmark = pytest.mark.spark
JOB = "jobs/clean.py"
SECONDS = 180


@contextmanager
def started(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start the job in a group of processes, which is killed afterwards."""
    command, environment = spark_submit_command(JOB, *arguments)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        command,
        env=os.environ | environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it has ended
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


def wait_for_holder(folder: Path) -> holders.Holder:
    """Return the driver that holds the folder, once there is one."""
    deadline = time.monotonic() + SECONDS
    while not (folder / manifest.STARTED).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    newest = locks._newest(str(folder))
    assert newest
    holder = holders.parse(newest[1])
    assert holder
    return holder


def tables(folder: Path) -> dict[str, int]:
    found = manifest.read(str(folder), "clean")
    manifest.verify(str(folder), found)
    return found.counts


def test_the_second_is_refused_and_a_rerun_after_a_kill_goes_on_at_once(tmp_path: Path) -> None:
    crawl, out = small_crawl.build(tmp_path / "raw").folder, tmp_path / "out"

    def arguments(folder: Path) -> list[str]:
        return ["--set", f'input.paths=["{crawl}"]', "--set", f"output.path={folder}"]

    with started(arguments(out)) as first:
        holder = wait_for_holder(out)
        os.kill(holder.pid, signal.SIGSTOP)  # so that it lasts until the second comes
        with started(arguments(out)) as second:
            printed, _ = second.communicate(timeout=SECONDS)
            assert second.returncode == 1
        errors = [line for line in printed.splitlines() if line.startswith("error: ")]
        assert errors == [
            f"error: {out}: clean is running there, as {holder.description} since {holder.since}; wait until "
            "it has finished, or stop it and run this again"
        ]
        assert first.poll() is None
    printed = spark_submit(JOB, *arguments(out))
    assert "waiting" not in printed
    spark_submit(JOB, *arguments(tmp_path / "undisturbed"))
    assert tables(out) == tables(tmp_path / "undisturbed")
    assert locks._names(str(out)) == locks.contents(str(out))
    assert "clean: already done" in spark_submit(JOB, *arguments(out))


def test_of_two_that_start_together_one_publishes(tmp_path: Path) -> None:
    crawl, out = small_crawl.build(tmp_path / "raw").folder, tmp_path / "out"
    arguments = ["--set", f'input.paths=["{crawl}"]', "--set", f"output.path={out}"]
    with started(arguments) as first, started(arguments) as second:
        printed = [each.communicate(timeout=SECONDS)[0] for each in (first, second)]
        codes = [each.returncode for each in (first, second)]
    # One that comes late may find the other's finished output.
    assert sorted(codes) == [0, 1] or any("clean: already done" in text for text in printed), printed
    assert sum("error: " in text for text in printed) == codes.count(1)
    assert tables(out)["kept"] > 0
