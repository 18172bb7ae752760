"""One thread or process at a time holds a lock, and none waits forever."""

import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.shards.locks import locked


def test_one_thread_at_a_time_holds_a_lock_that_comes_and_goes(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def hold(number: int) -> None:
        time.sleep(number % 7 / 1000)  # some come while others wait, some when the file was removed
        with locked(tmp_path / "folder" / "a.lock", 60):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.002)
            inside[0] -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hold, range(60)))
    assert most == [1]
    assert not list((tmp_path / "folder").iterdir())


@pytest.mark.parametrize("removed", [True, False])
def test_a_fork_does_not_keep_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    def fail(path: Path, missing_ok: bool) -> None:
        raise PermissionError

    if not removed:
        monkeypatch.setattr(Path, "unlink", fail)
    read, write = os.pipe()
    with locked(tmp_path / "a.lock", 60):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, for forks beside threads
            child = os.fork()
        if not child:
            os.read(read, 1)
            os._exit(0)
    begun = time.monotonic()
    with locked(tmp_path / "a.lock", 60):
        assert time.monotonic() - begun < 30
    os.write(write, b"x")
    assert os.waitpid(child, 0)[1] == 0
    os.close(read)
    os.close(write)


def test_one_who_waits_too_long_does_without_the_lock(tmp_path: Path) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(tmp_path / "a.lock", 1):
            held.set()
            assert done.wait(60)

    with ThreadPoolExecutor(1) as threads:
        holder = threads.submit(hold)
        assert held.wait(60)
        with locked(tmp_path / "a.lock", 0.05):
            assert not holder.done()
        assert (tmp_path / "a.lock").exists()  # the holder's
        done.set()
        holder.result()


def test_a_folder_that_cannot_be_made_does_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / "a.lock", 1):
        pass
    assert (tmp_path / "file").is_file()
