import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from core import storage
from core.errors import OutputError
from core.storage import exclusive, holders, locks, retries
from core.storage.holders import Holder
from core.storage.locks import FolderLock
from core.storage.s3 import S3
from tests.core.race import compete, dead_holder
from tests.servers.s3_proxy import Condition, s3_proxy


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks are stale after half a second."""
    monkeypatch.setattr(locks, "STALE_SECONDS", 0.5)
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.02)


@pytest.fixture(params=["local", "s3", "hdfs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that does not exist yet, on each kind of storage."""
    if request.param == "local":
        return str(tmp_path / "out")
    return f"{request.getfixturevalue(request.param)}/{tmp_path.name}"


def holder(**changes: object) -> Holder:
    """A holder on another machine."""
    made = {"token": "other", "stage": "clean", "host": "node-7", "machine": "elsewhere", "pid": 41}
    return Holder(**{**made, "process": "7", "since": "2026-01-01 00:00:00 UTC", **changes})


def put(folder: str, made: Holder, number: int = 1) -> str:
    path = storage.join(folder, f"{locks.PREFIX}{number:06}")
    storage.write_atomic(path, made.encode())
    return path


def names(folder: str) -> list[str]:
    return sorted(locks._names(folder))


@pytest.mark.parametrize(("kind", "rounds"), [("local", 60), ("s3", 12), ("hdfs", 5)])
def test_one_of_three_processes_wins(
    kind: str, rounds: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root = str(tmp_path) if kind == "local" else f"{request.getfixturevalue(kind)}/{tmp_path.name}"
    fresh, killed = (
        [storage.join(root, f"{name}-{each}") for each in range(rounds)] for name in ("fresh", "killed")
    )
    name, lock = dead_holder()
    for each in killed:
        storage.write_atomic(storage.join(each, name), lock)
    assert compete(fresh + killed, 3) == [1] * (2 * rounds)
    assert {tuple(names(each)) for each in fresh + killed} == {("result",)}


def test_lock_is_held_during_the_block_only(folder: str) -> None:
    for error in (None, ValueError, KeyboardInterrupt):
        try:
            with locks.held(folder, "pack"):
                assert names(folder) == [".lock-000001"]
                assert locks.contents(folder) == []
                locks.check(storage.join(folder, "documents"))
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt) as raised:
            assert type(raised) is error
        assert names(folder) == [] and not storage.exists(folder)
        locks.check(folder)  # not held, nothing to check


def test_an_empty_folder_that_was_there_remains(tmp_path: Path) -> None:
    with locks.held(str(tmp_path), "pack"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_running_driver_is_named(folder: str) -> None:
    with (
        locks.held(folder, "pack"),
        pytest.raises(
            OutputError,
            match=rf"^{folder}: pack is running there, as process \d+ on \S+ since [\d-]+ [\d:]+ UTC; wait "
            r"until it has finished, or stop it and run this again$",
        ),
        locks.held(folder, "clean"),
    ):
        pytest.fail("held twice")


def test_a_lock_is_renewed(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.05)
    with locks.held(folder, "pack"):
        path = storage.join(folder, ".lock-000001")
        first = holders.parse(storage.read_bytes(path))
        deadline = time.monotonic() + 60
        while (now := holders.parse(storage.read_bytes(path))) is None or now.counter < 3:
            assert time.monotonic() < deadline
        assert first and now.model_copy(update={"counter": first.counter}) == first
        locks.check(folder)
    assert names(folder) == []


def test_a_killed_driver_of_this_machine_is_replaced_at_once(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, data = dead_holder("clean", 3)
    storage.write_atomic(storage.join(folder, name), data)
    with locks.held(folder, "pack"):
        assert names(folder) == [".lock-000004"]
    assert names(folder) == []
    assert capsys.readouterr().out == ""


def test_another_process_with_the_same_id_is_no_holder(tmp_path: Path) -> None:
    alive = holders.this_process("clean")
    put(str(tmp_path), alive.model_copy(update={"process": "1"}))
    with locks.held(str(tmp_path), "pack"):
        pass
    put(str(tmp_path), alive.model_copy(update={"pid": (parent := os.getppid()), "process": _start(parent)}))
    with pytest.raises(OutputError, match="clean is running there"), locks.held(str(tmp_path), "pack"):
        pass


def _start(pid: int) -> str:
    return holders.start_time(pid) or ""


def test_a_lock_that_this_process_failed_to_remove_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(path: str, token: bytes) -> None:
        raise OutputError(path)

    with locks.held(str(tmp_path), "pack"):
        monkeypatch.setattr(exclusive, "remove", fail)
    monkeypatch.undo()
    assert names(str(tmp_path)) == [".lock-000001"]
    with locks.held(str(tmp_path), "pack"):
        assert names(str(tmp_path)) == [".lock-000002"]
    assert names(str(tmp_path)) == []
    assert capsys.readouterr().out == ""
    assert not holders.live_tokens


def renewing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "lock"]


@pytest.mark.parametrize("function", ["read", "is_atomic", "remove", "hang"])
@pytest.mark.parametrize("error", [OutputError, KeyboardInterrupt])
def test_an_error_while_a_lock_is_taken_leaves_nothing(
    function: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, data = dead_holder("clean", 3)
    storage.write_atomic(str(tmp_path / name), data)
    original = {each: getattr(exclusive, each) for each in ("read", "is_atomic", "remove")}
    calls: list[str] = []

    def fail(path: str, *arguments: bytes) -> object:
        calls.append(path)
        if function == "read" and len(calls) == 3:  # of the new lock
            raise error
        if function in ("is_atomic", "remove") and len(calls) == 1:
            raise error
        return original[function](path, *arguments)

    if function == "hang":
        acquire = locks._acquire

        def interrupted(*arguments: Any) -> FolderLock:
            acquire(*arguments)
            raise error

        monkeypatch.setattr(locks, "_acquire", interrupted)
    else:
        monkeypatch.setattr(exclusive, function, fail)
    with pytest.raises(error), locks.held(str(tmp_path), "pack"):
        pytest.fail("held")
    assert not renewing() and not locks._held and not holders.live_tokens
    assert set(names(str(tmp_path))) <= {name}


def test_an_old_renewal_proves_nothing(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with locks.held(folder, "pack"):
        lock = locks._held[locks._normalized(folder)]
        locks.check(folder)
        assert lock._holder.counter == 0
        lock._renewed_at -= locks.PROOF_SECONDS + 1
        locks.check(folder)
        assert lock._holder.counter == 1 and lock._is_proved
        lock._renewed_at -= locks.PROOF_SECONDS + 1
        with monkeypatch.context() as patch:
            patch.setattr(exclusive, "replace", lambda *_: False)
            with pytest.raises(OutputError, match="pack stops here and publishes nothing"):
                locks.check(folder)
        with monkeypatch.context() as patch:
            patch.setattr(locks, "PROOF_SECONDS", -1.0)
            with pytest.raises(OutputError, match="its storage is too slow to renew a lock"):
                locks.check(folder)


def test_a_renewal_that_restores_a_lost_lock_removes_it(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with locks.held(folder, "pack"):
        lock = locks._held[locks._normalized(folder)]

        def overtaken(path: str, token: bytes, data: bytes) -> bool:
            put(folder, holder(), 2)
            storage.write_atomic(path, data)
            return True

        monkeypatch.setattr(exclusive, "replace", overtaken)
        assert not lock.renew()
        assert names(folder) == [".lock-000002"]


def test_only_former_locks_are_removed(tmp_path: Path) -> None:
    lock = FolderLock(str(tmp_path), "pack", 2)
    for number in (1, 2, 3):
        put(str(tmp_path), holder(), number)
    (tmp_path / "..lock-000001.0123abcd").touch()
    lock._remove_others()
    assert names(str(tmp_path)) == [".lock-000002", ".lock-000003"]


def test_failed_renewals_are_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.01)
    failed = threading.Semaphore(0)

    def fail(*_: object) -> bool:
        failed.release()
        raise OutputError("no network")

    monkeypatch.setattr(exclusive, "replace", fail)
    with locks.held(str(tmp_path), "pack"):
        assert all(failed.acquire(timeout=60) for _ in range(4))
    assert capsys.readouterr().err == (
        f"warning: {tmp_path}: two renewals of its lock failed (no network); if they go on to fail, a driver "
        "on another machine may take over after 60 s\n"
    )


def test_a_busy_storage_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)
    fs = Flaky()
    monkeypatch.setattr(locks, "filesystem", lambda path: (fs, path))
    standby = 'RPCError("org.apache.hadoop.ipc_.StandbyException", "not supported in state standby")'
    fs.failures = [RuntimeError(standby)] * 2
    assert locks._names("hdfs://node/out") == ["documents"]


class Flaky:
    """A file system that fails some times."""

    failures: list[Exception]

    def ls(self, path: str, detail: bool) -> list[str]:
        if self.failures:
            raise self.failures.pop()
        return [f"{path}/documents"]


def test_a_process_that_ended_and_is_not_awaited_is_gone() -> None:
    process = subprocess.Popen(["true"])
    deadline = time.monotonic() + 60
    while holders.start_time(process.pid) != "":
        assert time.monotonic() < deadline
    made = holder(machine=holders.machine_id(), pid=process.pid)
    assert holders.is_running(made) is False
    process.wait()
    assert holders.is_running(made) is False


def test_a_hidden_process_may_be_running(monkeypatch: pytest.MonkeyPatch) -> None:
    own = holders.this_process("clean")
    monkeypatch.setattr(holders, "start_time", lambda _: None)
    assert holders.is_running(own) is None
    assert holders.is_running(holder()) is None


@pytest.mark.usefixtures("quick")
def test_a_lock_from_elsewhere_that_is_not_renewed_is_taken_over(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, holder())
    started = time.monotonic()
    with locks.held(folder, "pack"):
        assert time.monotonic() - started >= locks.STALE_SECONDS
        assert names(folder) == [".lock-000002"]
    assert capsys.readouterr().out == (
        f"pack: {folder} is claimed by process 41 on node-7 since 2026-01-01 00:00:00 UTC; waiting for up to "
        "0 s to see whether it was killed …\n"
    )


@pytest.mark.usefixtures("quick")
def test_a_half_written_lock_that_is_not_renewed_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".lock-000001").touch()
    with locks.held(str(tmp_path), "pack"):
        assert names(str(tmp_path)) == [".lock-000002"]


@pytest.mark.usefixtures("quick")
def test_a_driver_elsewhere_that_renews_its_lock_is_alive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(str(tmp_path), holder())
    renewal = threading.Timer(0.2, put, [str(tmp_path), holder(counter=1)])
    renewal.start()
    with pytest.raises(OutputError, match="process 41 on node-7"), locks.held(str(tmp_path), "pack"):
        pass
    renewal.join()
    assert names(str(tmp_path)) == [".lock-000001"]
    assert capsys.readouterr().out.count("waiting for up to") == 1


@pytest.mark.usefixtures("quick")
def test_the_wait_begins_again_with_another_driver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(str(tmp_path), holder())
    other = threading.Timer(0.3, put, [str(tmp_path), holder(token="third", host="node-8"), 2])
    other.start()
    started = time.monotonic()
    with locks.held(str(tmp_path), "pack"):
        assert time.monotonic() - started >= 0.3 + locks.STALE_SECONDS
    other.join()
    assert capsys.readouterr().out.count("waiting for up to") == 2


def test_a_released_lock_is_free_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.02)
    path = put(str(tmp_path), holder())
    release = threading.Timer(0.2, storage.remove, [path])
    release.start()
    with locks.held(str(tmp_path), "pack"):
        assert names(str(tmp_path)) == [".lock-000001"]
    release.join()


@pytest.mark.parametrize("after", ["takeover", "takeover and release", "removal", "next driver"])
def test_a_former_holder_notices(folder: str, after: str) -> None:
    with locks.held(folder, "pack"):
        lock = locks._held[locks._normalized(folder)]
        exclusive.remove(lock.path, b"")
        number = {"takeover": 2, "next driver": 1}.get(after)
        if number:
            put(folder, holder(), number)
        cause = "process 41 on node-7 took over at 2026" if number else "its lock was removed"
        for path in (folder, storage.join(folder, "documents.done")):
            with pytest.raises(
                OutputError, match=rf"^{folder}: {cause}[^\n]*publishes nothing; run it again$"
            ):
                locks.check(path)
        locks.check(f"{folder}-other")
        assert not lock.renew()
        before = names(folder)
    assert names(folder) == before  # the new holder's lock, if there is one


def test_a_holder_that_was_overtaken_does_not_disturb_the_next(tmp_path: Path) -> None:
    first, second = FolderLock(str(tmp_path), "pack"), FolderLock(str(tmp_path), "pack", 2)
    assert first.take(None)
    assert second.take(first._holder.encode())
    assert not first.renew()
    first.release()
    second.check()
    assert second.renew()
    second.release()
    assert names(str(tmp_path)) == []


def test_a_lock_that_came_to_life_is_not_taken_over(folder: str) -> None:
    first, second = FolderLock(folder, "pack"), FolderLock(folder, "pack", 2)
    assert first.take(None)
    before = first._holder.encode()
    assert first.renew()
    assert not second.take(before)
    first.check()
    first.release()


def test_the_slower_of_two_withdraws(folder: str) -> None:
    """A driver that saw no lock creates the first one, after another has taken over with the second."""
    put(folder, holder(), 2)
    assert not FolderLock(folder, "pack").take(None)
    assert names(folder) == [".lock-000002"]
    assert not FolderLock(folder, "pack", 2).take(None)


def test_temporary_files_of_locks_are_no_content(tmp_path: Path) -> None:
    (tmp_path / "..lock-000001.0123abcd").touch()
    (tmp_path / "documents").mkdir()
    assert locks.contents(str(tmp_path)) == ["documents"]
    assert locks.contents(str(tmp_path / "absent")) == []


def test_disks_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = str(tmp_path / "out" / ".lock-000001")
    assert exclusive.create(path, b"mine")
    assert not exclusive.create(path, b"yours")
    assert exclusive.read(path) == b"mine"
    assert names(str(tmp_path / "out")) == [".lock-000001"]


def test_exclusive_files(folder: str) -> None:
    path = storage.join(folder, "file")
    assert exclusive.read(path) is None
    assert not exclusive.replace(path, b"a1", b"a2")
    assert exclusive.create(path, b"a1")
    assert exclusive.create(path, b"a1")  # a repeated request
    assert not exclusive.create(path, b"b1")
    assert exclusive.is_atomic(path, b"a1")
    assert exclusive.replace(path, b"a", b"a2")
    assert not exclusive.replace(path, b"b", b"b2")
    exclusive.remove(path, b"b")
    assert exclusive.read(path) == b"a2"
    exclusive.remove(path, b"a")
    exclusive.remove(path, b"a")
    assert names(folder) == []


def test_a_refusal_names_path_and_cause(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/out/\.lock-000001: [^\n]*; "):
        exclusive.create(str(tmp_path / "file" / "out" / ".lock-000001"), b"x")


@pytest.fixture
def weak_server(s3: str) -> Iterator[Callable[[Condition], str]]:
    """Return a function that starts a server which does not support conditional requests."""
    with pytest.MonkeyPatch.context() as patch:
        stack = ExitStack()

        def start(condition: Condition) -> str:
            patch.setenv("AWS_ENDPOINT_URL", stack.enter_context(s3_proxy(condition)))
            S3.clear_instance_cache()
            return s3

        with stack:
            yield start
    S3.clear_instance_cache()


@pytest.mark.parametrize("condition", ["ignored", "refused", "invalid"])
def test_servers_without_conditional_writes_are_reported(
    weak_server: Callable[[Condition], str],
    condition: Condition,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    folder = f"{weak_server(condition)}/{tmp_path.name}"
    with locks.held(folder, "pack"):
        lock = locks._held[folder]
        assert lock.renew()
        with pytest.raises(OutputError, match="pack is running there"), locks.held(folder, "pack"):
            pass
    assert names(folder) == []
    assert capsys.readouterr().err == (
        f"warning: {folder}: its S3 server has no conditional writes (If-None-Match), so two drivers that "
        "start at the same moment may both go on; start one at a time\n"
    )


def test_work_is_stopped_after_a_loss_and_its_failure_is_reported_as_the_loss(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.05)
    calls, twice = [0], threading.Event()

    def stop() -> None:
        calls[0] += 1
        if calls[0] == 2:
            twice.set()
        raise RuntimeError("the work has ended already")

    monkeypatch.setattr(locks, "on_loss", [stop])
    with (
        pytest.raises(OutputError, match=r"process 41 on node-7 took over at .*; pack stops here"),
        locks.held(str(tmp_path), "pack"),
    ):
        put(str(tmp_path), holder(), 2)
        assert twice.wait(60)
        raise ValueError("cancelled")
    before = calls[0]
    time.sleep(0.1)
    assert calls[0] == before  # the block has ended


def test_work_goes_on_while_the_lock_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.02)
    calls: list[int] = []
    monkeypatch.setattr(locks, "on_loss", [lambda: calls.append(1)])
    with pytest.raises(ValueError, match="of its own"), locks.held(str(tmp_path), "pack"):
        time.sleep(0.3)
        raise ValueError("of its own")
    assert calls == []
