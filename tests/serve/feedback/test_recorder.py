"""Answers never wait for the store, and what is lost is counted."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from serve.feedback import recent, recorder, store
from serve.feedback.recent import RecentAnswers
from serve.feedback.recorder import FeedbackFailedError, FeedbackRecorder
from serve.feedback.store import Feedback, FeedbackStore, UnknownResponseError
from tests.serve.feedback.samples import rows, sample_answer


@contextmanager
def locked(database: Path) -> Iterator[sqlite3.Connection]:
    """Hold the write lock of the store, as another program does."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


@contextmanager
def recording(database: Path, *, store_all: bool = True) -> Iterator[tuple[FeedbackRecorder, list[int]]]:
    """Yield a recorder and the list that grows with each loss."""
    lost: list[int] = []
    opened = FeedbackRecorder(
        FeedbackStore(str(database)), store_all=store_all, on_lost=lambda: lost.append(1)
    )
    yield opened, lost
    opened.close()


def test_all_answers_are_stored_on_request(database: Path) -> None:
    with recording(database) as (opened, lost):
        for name in ("a", "b"):
            opened.add(sample_answer(name))
    assert rows(database, "SELECT response_id FROM answers") == [("a",), ("b",)]
    assert not lost


def test_answers_do_not_wait_for_a_locked_file(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "LOCK_SECONDS", 0.2)
    monkeypatch.setattr(recorder, "WAIT_SECONDS", 5)
    with recording(database) as (opened, lost), caplog.at_level(logging.WARNING):
        opened.add(sample_answer("before"))
        asyncio.run(opened.rate(Feedback("before", "up")))  # the file exists now
        with locked(database):
            started = time.monotonic()
            for number in range(50):
                opened.add(sample_answer(str(number)))
            assert time.monotonic() - started < 0.2
            while len(lost) < 2:
                time.sleep(0.01)
        asyncio.run(opened.rate(Feedback("7", "up")))
    assert "not stored: database is locked" in caplog.text
    assert rows(database, "SELECT response_id FROM feedback ORDER BY number") == [("before",), ("7",)]
    assert len(lost) + rows(database, "SELECT count(*) FROM answers")[0][0] >= 51


def test_ratings_of_a_locked_file_fail_in_time_and_are_counted(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "WAIT_SECONDS", 0.1)
    with recording(database, store_all=False) as (opened, lost):
        opened.add(sample_answer("a"))
        asyncio.run(opened.rate(Feedback("a", "up")))
        with locked(database), pytest.raises(FeedbackFailedError):
            asyncio.run(opened.rate(Feedback("a", "down")))
    assert len(lost) == 1


def test_full_queue_loses_answers_and_rejects_ratings(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recorder, "MAX_PENDING", 0)
    with recording(database) as (opened, lost):
        opened.add(sample_answer("a"))
        with pytest.raises(FeedbackFailedError):
            asyncio.run(opened.rate(Feedback("a", "up")))
    assert len(lost) == 2 and "0 writes are waiting" in caplog.text


def test_unknown_answers_cannot_be_rated(database: Path) -> None:
    with recording(database, store_all=False) as (opened, lost):
        with pytest.raises(UnknownResponseError):
            asyncio.run(opened.rate(Feedback("never", "up")))
        assert not lost


def test_disabled_store_remembers_nothing() -> None:
    opened = FeedbackRecorder(FeedbackStore(), store_all=True)
    opened.add(sample_answer("a"))
    assert not opened.store_all and not opened.enabled
    opened.close()


def test_oldest_answers_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "MAX_CHARACTERS", 3 * sample_answer("a").size)
    answers = RecentAnswers()
    for name in "abcd":
        answers.add(sample_answer(name))
    assert [name for name in "abcd" if answers.get(name)] == ["b", "c", "d"]
    answers.forget("c")
    answers.add(sample_answer("e"))
    assert [name for name in "abcde" if answers.get(name)] == ["b", "d", "e"]
