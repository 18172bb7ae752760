"""Hostile documents yield text or a drop reason in time, and do not affect the next document."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import pytest

from core.config import ExtractionConfig
from pipeline.extraction import Extracted, extract
from pipeline.extraction.guard import SHORT_TEXT, Guard
from pipeline.ledger import Drop, Reason
from tests.pipeline.extraction.raw import RawRecord

LIMIT = 1.0
FINE = "<html><title>Fine</title><body><p>" + "A short page without any surprises in it. " * 9


HTML_BOMBS: dict[str, Callable[[], bytes | str]] = {
    "deep containers": lambda: "<div>" * 1_000_000 + "deep",
    "deep inline": lambda: "<b>" * 1_000_000 + "deep",
    "deep lists": lambda: "<ul><li>" * 100_000,
    "tables never closed": lambda: "<table><tr><td>" * 100_000,
    "formatting to be restored": lambda: "".join(f"<p><font a={number}>" for number in range(100_000)),
    "many attributes": lambda: "<p " + " ".join(f"a{number}=1" for number in range(100_000)) + ">x",
    "end tags of nothing": lambda: "<div>" * 400 + "</span></p>" * 100_000,
    "many paragraphs": lambda: "<p>x" * 500_000,
    "one word": lambda: "<p>" + "w" * 10_000_000,
    "blanks": lambda: "<pre>x" + " " * 5_000_000 + "x",
    "sections never closed": lambda: "<![CDATA[" * 1_000_000,
    "comments never closed": lambda: "<!--" * 1_000_000,
    "markup only": lambda: "<" * 1_000_000,
    "nothing": lambda: bytes(10_000_000),
    "no encoding": lambda: b"<p>" + b"\xff\xfe\xfd\xc0" * 1_000_000,
    "accents": lambda: "<p>a" + "\u0301\u0316" * 1_000_000,
}
WIKITEXT_BOMBS = ("{{a|", "[[a|", "{|\n|", "<ref>", "'''''", "{{{{{", "<b><i>", "[http://a ", "==")


@pytest.mark.parametrize("method", ["default", "resiliparse", "trafilatura"])
def test_hostile_pages_do_not_fail_the_task(method: Literal["default", "resiliparse", "trafilatura"]) -> None:
    guard = Guard(ExtractionConfig(method=method, max_seconds=LIMIT))
    for bomb, build in HTML_BOMBS.items():
        assert isinstance(guard.extract(RawRecord(build())), Extracted | Drop), bomb
        assert isinstance(guard.extract(RawRecord(FINE)), Extracted), f"after {bomb}"
    guard.close()


def test_hostile_wikitext_does_not_fail_the_task() -> None:
    guard = Guard(ExtractionConfig(max_seconds=LIMIT))
    for token in WIKITEXT_BOMBS:
        assert isinstance(guard.extract(RawRecord(token * 200_000, "wikitext")), Extracted | Drop), token
        assert isinstance(guard.extract(RawRecord("Fine.", "wikitext")), Extracted), f"after {token}"
    guard.close()


def test_guard_returns_the_same_as_extract() -> None:
    settings = ExtractionConfig()
    guard = Guard(settings)
    for record in (
        RawRecord(FINE),
        RawRecord(FINE.encode(), "html", "koi8-r"),
        RawRecord("'''A'''", "wikitext"),
        RawRecord("b\ud800", "text"),
    ):
        assert guard.extract(record) == extract(record, settings)
    guard.close()


def test_limits_are_drop_reasons() -> None:
    guard = Guard(ExtractionConfig(max_seconds=0.5, max_bytes=3_000_000))
    slow = RawRecord("a" + "\u0301\u0316" * 1_000_000, "text")
    assert guard.extract(slow) == Drop(Reason.TOO_SLOW, None, 0.5)
    assert guard.extract(RawRecord("x" * 3_000_001, "text")) == Drop(Reason.TOO_LONG, 3_000_001, 3_000_000)
    guard.close()


def test_crashed_worker_is_a_drop_reason_and_is_replaced() -> None:
    guard = Guard(ExtractionConfig())
    assert isinstance(guard.extract(RawRecord(FINE)), Extracted)
    pid = worker_pid(guard)
    os.kill(pid, signal.SIGSEGV)
    assert guard.extract(RawRecord(FINE)) == Drop(Reason.CRASHED)
    assert isinstance(guard.extract(RawRecord(FINE)), Extracted)
    assert worker_pid(guard) != pid
    guard.close()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_page_is_extracted_again_if_its_worker_is_killed_from_outside(sent: signal.Signals) -> None:
    settings = ExtractionConfig()
    guard = Guard(settings)
    guard.extract(RawRecord(FINE))
    os.kill(worker_pid(guard), sent)
    assert guard.extract(RawRecord(FINE)) == extract(RawRecord(FINE), settings)
    guard.close()


def test_page_whose_workers_are_all_killed_from_outside_fails_the_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = Guard._start

    def start_and_kill(guard: Guard) -> tuple[subprocess.Popen[bytes], Connection]:
        worker = start(guard)
        worker[0].kill()
        return worker

    monkeypatch.setattr(Guard, "_start", start_and_kill)
    with pytest.raises(ChildProcessError, match=r"^http://a/: two .* killed from outside"):
        Guard(ExtractionConfig()).extract(RawRecord(FINE, url="http://a/"))


def test_hung_worker_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.extraction.guard.MAX_SILENCE", 3.0)
    guard = Guard(ExtractionConfig())
    guard.extract(RawRecord(FINE))
    os.kill(worker_pid(guard), signal.SIGSTOP)
    assert isinstance(guard.extract(RawRecord(FINE)), Extracted)
    guard.close()


def test_short_texts_need_no_worker() -> None:
    guard = Guard(ExtractionConfig())
    assert isinstance(guard.extract(RawRecord("short", "text")), Extracted)
    assert guard._worker is None
    assert isinstance(guard.extract(RawRecord("w" * (SHORT_TEXT + 1), "text")), Extracted)
    assert guard._worker is not None
    guard.close()


def test_worker_ends_when_the_parent_is_killed() -> None:
    program = (
        "from core.config import ExtractionConfig\n"
        "from pipeline.extraction.guard import Guard\n"
        "guard = Guard(ExtractionConfig())\n"
        "guard._worker = guard._start()\n"
        "print(guard._worker[0].pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_worker_that_cannot_start_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ChildProcessError, match="before it was ready"):
        Guard(ExtractionConfig()).extract(RawRecord(FINE))


def worker_pid(guard: Guard) -> int:
    assert guard._worker is not None
    return guard._worker[0].pid


def is_running(pid: int) -> bool:
    """True if the process exists and is not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
