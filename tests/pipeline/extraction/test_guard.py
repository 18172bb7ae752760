"""Hostile documents: each comes out as text or a reason, in time, and the next one finds all in order."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from core.config import ExtractionConfig
from pipeline.extraction import Extracted, extract
from pipeline.extraction.guard import Guard
from pipeline.ledger import Drop, Reason
from tests.pipeline.extraction.raw import Raw

LIMIT = 1.0
FINE = "<html><title>Fine</title><body><p>" + "A page that nobody needs to be afraid of. " * 9


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
def test_no_page_takes_its_task_along(method: Literal["default", "resiliparse", "trafilatura"]) -> None:
    guard = Guard(ExtractionConfig(method=method, max_seconds=LIMIT))
    for bomb, make in HTML_BOMBS.items():
        assert isinstance(guard.extract(Raw(make())), Extracted | Drop), bomb
        assert isinstance(guard.extract(Raw(FINE)), Extracted), f"after {bomb}"
    guard.close()


def test_no_article_does() -> None:
    guard = Guard(ExtractionConfig(max_seconds=LIMIT))
    for token in WIKITEXT_BOMBS:
        assert isinstance(guard.extract(Raw(token * 200_000, "wikitext")), Extracted | Drop), token
        assert isinstance(guard.extract(Raw("Fine.", "wikitext")), Extracted), f"after {token}"
    guard.close()


def test_the_same_text_as_without_it() -> None:
    settings = ExtractionConfig()
    made = Guard(settings)
    for record in (
        Raw(FINE),
        Raw(FINE.encode(), "html", "koi8-r"),
        Raw("'''A'''", "wikitext"),
        Raw("b\ud800", "text"),
    ):
        assert made.extract(record) == extract(record, settings)
    made.close()


def test_reasons() -> None:
    made = Guard(ExtractionConfig(max_seconds=0.5, max_bytes=3_000_000))
    slow = Raw("a" + "\u0301\u0316" * 1_000_000, "text")
    assert made.extract(slow) == Drop(Reason.TOO_SLOW, None, 0.5)
    assert made.extract(Raw("x" * 3_000_001, "text")) == Drop(Reason.TOO_LONG, 3_000_001, 3_000_000)
    made.close()


def test_a_process_that_crashes_is_a_reason_and_is_replaced() -> None:
    made = Guard(ExtractionConfig())
    assert isinstance(made.extract(Raw(FINE)), Extracted)
    child = process_of(made)
    os.kill(child, signal.SIGSEGV)
    assert made.extract(Raw(FINE)) == Drop(Reason.CRASHED)
    assert isinstance(made.extract(Raw(FINE)), Extracted)
    assert process_of(made) != child
    made.close()


def test_its_process_ends_with_a_parent_that_is_killed() -> None:
    program = (
        "from core.config import ExtractionConfig\n"
        "from pipeline.extraction.guard import Guard\n"
        "guard = Guard(ExtractionConfig())\n"
        "guard._child = guard._start()\n"
        "print(guard._child[0].pid, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    deadline = time.monotonic() + 30
    while is_running(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_cannot_start_fails_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ChildProcessError, match="before it was ready"):
        Guard(ExtractionConfig()).extract(Raw(FINE))


def process_of(guard: Guard) -> int:
    assert guard._child is not None
    return guard._child[0].pid


def is_running(process: int) -> bool:
    """Whether there is a process of that number that is not a zombie."""
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
