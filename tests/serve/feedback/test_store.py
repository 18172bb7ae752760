"""The feedback store: protected, durable, safe for several processes; rows are deleted for good."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from core.errors import InputError
from serve.feedback.store import Feedback, FeedbackStore, UnknownResponseError
from tests.commands import ROOT
from tests.serve.feedback.samples import add_answer, rate, rows, sample_answer


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE answers SET answer = 'other'",
        "UPDATE feedback SET rating = 'down'",
        "DELETE FROM answers",
        "DELETE FROM feedback",
        "REPLACE INTO answers SELECT * FROM answers",
        "REPLACE INTO feedback SELECT * FROM feedback",
        "REPLACE INTO answers SELECT 1, 'new', 1, '', '', '[]', '', ''",
        "REPLACE INTO feedback SELECT 1, 'new', 'a', 1, 'down', NULL, NULL",
    ],
)
def test_rows_cannot_be_changed(store: FeedbackStore, database: Path, change: str) -> None:
    add_answer(store, "a")
    rate(store, "a", "up")
    connection = sqlite3.connect(database)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)
    connection.close()
    assert rows(database, "SELECT answer, rating FROM answers JOIN feedback USING (response_id)") == [
        ("Lyon.", "up")
    ]


def test_second_answer_with_the_same_id_is_ignored(store: FeedbackStore, database: Path) -> None:
    add_answer(store, "a", "first")
    add_answer(store, "a", "second")
    assert rows(database, "SELECT answer FROM answers") == [("first",)]


def test_any_text_can_be_stored(store: FeedbackStore, database: Path) -> None:
    text = "half \ud83d, nothing \0, all \U0001f600 \u202e"
    add_answer(store, "a", text, messages=[{"role": "user", "content": text}])
    valid = text.replace("\ud83d", "?")
    ((messages, answer),) = rows(database, "SELECT messages, answer FROM answers")
    assert (json.loads(messages)[0]["content"], answer) == (valid, valid)


def test_existing_store_is_continued(database: Path) -> None:
    for response_id in ("a", "b"):
        store = FeedbackStore(str(database))
        add_answer(store, response_id)
        rate(store, response_id, "up")
        store.close()
    assert rows(database, "SELECT response_id FROM feedback ORDER BY number") == [("a",), ("b",)]


def test_feedback_on_an_unknown_answer_is_rejected(store: FeedbackStore) -> None:
    with pytest.raises(UnknownResponseError):
        rate(store, "never", "up")


WRITER = """
import sys
from serve.feedback.store import Feedback, FeedbackStore
from tests.serve.feedback.samples import sample_answer
store = FeedbackStore(sys.argv[1])
for name in sys.argv[2].split(","):
    store.add_feedback(Feedback(name, "up"), sample_answer(name))
    print(name, flush=True)
"""


def writer(database: Path, *response_ids: str) -> "subprocess.Popen[str]":
    """Start a process that stores answers and feedback, and prints each id once its feedback is stored."""
    command = [sys.executable, "-c", WRITER, str(database), ",".join(response_ids)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_several_processes_can_create_the_store_at_once(database: Path) -> None:
    processes = [writer(database, str(number)) for number in range(4)]
    assert [process.communicate()[0] for process in processes] == ["0\n", "1\n", "2\n", "3\n"]
    assert rows(database, "SELECT count(*) FROM feedback") == [(4,)]


def test_acknowledged_feedback_survives_a_kill(database: Path) -> None:
    process = writer(database, *map(str, range(20_000)))
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    store = FeedbackStore(str(database))
    add_answer(store, "after")
    rate(store, "after", "up")
    store.close()
    acknowledged = {line.strip() for line in lines if line.endswith("\n")}
    stored = {response_id for (response_id,) in rows(database, "SELECT response_id FROM feedback")}
    assert acknowledged | {"after"} <= stored
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("content", ["text", "other database", "folder", "missing folder", "newer version"])
def test_unusable_path_is_rejected_and_left_unchanged(tmp_path: Path, content: str) -> None:
    path = tmp_path / "some.file"
    if content == "text":
        path.write_text("Plain text, longer than the hundred bytes of a SQLite file's header. " * 3)
    elif content == "folder":
        path.mkdir()
    elif content == "missing folder":
        path = path / "below"
    else:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (x)")
        if content == "newer version":
            connection.executescript("PRAGMA application_id = 0x47726973; PRAGMA user_version = 99;")
        connection.close()
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=r"some\.file"):
        FeedbackStore(str(path))
    assert (path.read_bytes() if path.is_file() else None) == before


def test_answer_and_feedback_are_stored_together(store: FeedbackStore, database: Path) -> None:
    for rating in ("up", "down"):
        store.add_feedback(Feedback("a", rating), sample_answer("a"))
    assert rows(database, "SELECT response_id, answer FROM answers") == [("a", "Lyon.")]
    assert rows(database, "SELECT response_id, rating FROM feedback") == [("a", "up"), ("a", "down")]


def test_deleted_rows_are_gone_from_the_files(store: FeedbackStore, database: Path) -> None:
    for name in ("a", "b", "c"):
        add_answer(store, name, f"secret of {name} " * 500)
        rate(store, name, "down", f"correction of {name} " * 500)
    second = rate(store, "b", "up")
    assert store.delete(["a", "never"]) == 2
    assert store.delete([second]) == 1
    assert rows(database, "SELECT response_id, rating FROM feedback") == [("b", "down"), ("c", "down")]
    (last,) = rows(database, "SELECT id FROM feedback WHERE response_id = 'c'")
    assert store.delete(last) == 2  # with the last feedback, its answer
    assert rows(database, "SELECT response_id FROM answers") == [("b",)]
    content = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert b"secret of b" in content
    for name in (b"of a ", b"of c "):
        assert name not in content
    assert store.delete(["a"]) == 0


def test_answers_without_feedback_can_be_deleted(store: FeedbackStore, database: Path) -> None:
    for name in ("rated", "unrated"):
        add_answer(store, name)
    rate(store, "rated", "up")
    assert store.delete_unrated() == 1
    assert rows(database, "SELECT response_id FROM answers") == [("rated",)]


def test_rows_stay_protected_after_a_deletion(store: FeedbackStore, database: Path) -> None:
    add_answer(store, "a")
    add_answer(store, "b")
    store.delete(["a"])
    with closing(sqlite3.connect(database)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("DELETE FROM answers")


def test_failed_transactions_leave_nothing(store: FeedbackStore, database: Path) -> None:
    broken = sample_answer("a", messages=[{"role": "user"}])
    with pytest.raises(KeyError):
        store.add_feedback(Feedback("a", "up"), broken)
    add_answer(store, "b")
    assert rows(database, "SELECT response_id FROM answers") == [("b",)]
