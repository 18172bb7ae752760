"""Feedback over HTTP, its journal, and its export."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from core.config import FinetuneConfig
from core.errors import GristmillError, InputError, ManifestError, OutputError
from core.tokenizer.chat import Message
from serve.feedback import Feedback, Journal, UnknownResponseError, main
from tests.commands import ROOT
from tests.serve.prepared import Prepared, prepared_server
from train.records import RecordReader

MODEL = "5" * 64
QUESTION = [{"role": "user", "content": "Capital of France?"}]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "feedback.sqlite"


@pytest.fixture
def journal(database: Path) -> Iterator[Journal]:
    opened = Journal(str(database))
    yield opened
    opened.close()


@pytest.fixture
def server(database: Path) -> Iterator[Prepared]:
    with prepared_server(database) as running:
        yield running


def record(
    journal: Journal, name: str, answer: str = "Lyon.", finish: str = "stop", created: int = 1
) -> None:
    journal.record(name, created, "tiny", MODEL, QUESTION, answer, finish)


def rate(journal: Journal, name: str, rating: Any, correction: str | None = None) -> None:
    journal.rate(Feedback(response_id=name, rating=rating, correction=correction))


def post(server: Prepared, body: Any) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{server.url}/v1/feedback", data, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)["error"]


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# ---- over HTTP ----


def test_feedback_is_kept_and_said_back(server: Prepared, database: Path) -> None:
    record(server.journal, "a")
    status, said = post(
        server, {"response_id": "a", "rating": "down", "correction": "Paris.", "comment": "no"}
    )
    assert status == 200
    assert said.pop("id").startswith("feedback-") and said.pop("created") > 0
    assert said == {
        "object": "feedback",
        "response_id": "a",
        "rating": "down",
        "correction": "Paris.",
        "comment": "no",
    }
    kept = rows(database, "SELECT response_id, rating, correction, comment FROM feedback")
    assert kept == [("a", "down", "Paris.", "no")]


@pytest.mark.parametrize(
    ("body", "status", "param", "part"),
    [
        ({"response_id": "b", "rating": "up"}, 404, "response_id", "'b'"),
        ({"response_id": "a", "rating": "fine"}, 400, "rating", "'up' or 'down'"),
        ({"response_id": "a"}, 400, "rating", "missing"),
        ({"response_id": 3, "rating": "up"}, 400, "response_id", "string"),
        ({"response_id": "a", "rating": "up", "score": 5}, 400, "score", "unknown parameter score"),
        ({"response_id": "a", "rating": "up", "correction": " \n"}, 400, "correction", "must not be empty"),
        ({"response_id": "a", "rating": "up", "comment": "x" * 100_001}, 400, "comment", "100000"),
        ({"response_id": "a", "rating": "up", "comment": "\ud83d"}, 400, None, "JSON"),
        ([], 400, None, "object"),
        (b"{", 400, None, "JSON"),
        (b"\xff\xfe", 400, None, "JSON"),
    ],
)
def test_what_is_no_feedback_is_refused(
    server: Prepared, database: Path, body: Any, status: int, param: str | None, part: str
) -> None:
    record(server.journal, "a")
    refused, error = post(server, body)
    assert (refused, error["param"], error["type"]) == (status, param, "invalid_request_error")
    assert part in error["message"] and "\n" not in error["message"]
    assert rows(database, "SELECT count(*) FROM feedback") == [(0,)]


def test_a_server_without_a_journal_says_so() -> None:
    with prepared_server("") as server:
        record(server.journal, "a")
        status, error = post(server, {"response_id": "a", "rating": "up"})
        assert (status, error["code"]) == (403, "feedback_off")
        assert "serve.feedback=FILE" in error["message"]
        with urllib.request.urlopen(f"{server.url}/v1/feedback") as response:
            assert json.load(response)["kept"] is False


def test_a_file_that_fails_is_a_503_and_costs_no_answer(server: Prepared, database: Path) -> None:
    record(server.journal, "a")
    spoiler = sqlite3.connect(database, isolation_level=None)
    spoiler.execute("DROP TABLE feedback")
    spoiler.execute("ALTER TABLE answers RENAME TO others")
    spoiler.close()
    record(server.journal, "b")  # logged, not raised
    status, error = post(server, {"response_id": "a", "rating": "up"})
    assert (status, error["code"]) == (503, "feedback_failed")


def test_many_at_once_are_all_kept(server: Prepared, database: Path) -> None:
    def talk(person: int) -> None:
        for turn in range(20):
            record(server.journal, f"{person}-{turn}")
            statuses.append(post(server, {"response_id": f"{person}-{turn}", "rating": "up"})[0])

    statuses: list[int] = []
    people = [threading.Thread(target=talk, args=(person,)) for person in range(8)]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join()
    assert statuses == [200] * 160
    assert rows(database, "SELECT count(DISTINCT response_id) FROM feedback") == [(160,)]


# ---- the journal ----


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
def test_nothing_written_can_be_changed(journal: Journal, database: Path, change: str) -> None:
    record(journal, "a")
    rate(journal, "a", "up")
    connection = sqlite3.connect(database)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(change)
    connection.close()
    assert rows(database, "SELECT answer, rating FROM answers JOIN feedback USING (response_id)") == [
        ("Lyon.", "up")
    ]


def test_the_first_record_of_an_answer_stands(journal: Journal, database: Path) -> None:
    record(journal, "a", "first")
    record(journal, "a", "second")
    assert rows(database, "SELECT answer FROM answers") == [("first",)]


def test_any_text_can_be_kept(journal: Journal, database: Path) -> None:
    text = "half \ud83d, nothing \0, all \U0001f600 \u202e"
    journal.record("a", 1, "tiny", MODEL, [{"role": "user", "content": text}], text, "stop")
    whole = text.replace("\ud83d", "?")
    ((messages, answer),) = rows(database, "SELECT messages, answer FROM answers")
    assert (json.loads(messages)[0]["content"], answer) == (whole, whole)


def test_it_is_found_again(database: Path) -> None:
    for name in ("a", "b"):
        journal = Journal(str(database))
        record(journal, name)
        rate(journal, name, "up")
        journal.close()
    assert rows(database, "SELECT response_id FROM feedback ORDER BY number") == [("a",), ("b",)]


def test_feedback_on_what_is_not_there(journal: Journal) -> None:
    with pytest.raises(UnknownResponseError):
        rate(journal, "never", "up")


WRITER = """
import sys
from core.tokenizer.chat import Message
from serve.feedback import Feedback, Journal
journal = Journal(sys.argv[1])
for name in sys.argv[2].split(","):
    journal.record(name, 1, "tiny", "5" * 64, [{"role": "user", "content": "Well?"}], "Yes.", "stop")
    journal.rate(Feedback(response_id=name, rating="up"))
    print(name, flush=True)
"""


def writer(database: Path, *names: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(database), ",".join(names)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_several_processes_may_begin_at_once(database: Path) -> None:
    processes = [writer(database, str(number)) for number in range(4)]
    assert [process.communicate()[0] for process in processes] == ["0\n", "1\n", "2\n", "3\n"]
    assert rows(database, "SELECT count(*) FROM feedback") == [(4,)]


def test_what_was_acknowledged_outlives_a_kill(database: Path) -> None:
    process = writer(database, *map(str, range(20_000)))
    assert process.stdout
    acknowledged = [process.stdout.readline() for _ in range(50)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    journal = Journal(str(database))
    record(journal, "after")
    rate(journal, "after", "up")
    journal.close()
    whole = {int(line) for line in acknowledged if line.endswith("\n")}
    kept = {name for (name,) in rows(database, "SELECT response_id FROM feedback")}
    assert {str(number) for number in whole} | {"after"} <= kept
    assert rows(database, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("kind", ["text", "foreign", "folder", "nowhere", "newer"])
def test_what_is_no_journal_is_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "some.file"
    if kind == "text":
        path.write_text("These are no tables, and long enough for a header of a hundred bytes. " * 3)
    elif kind == "folder":
        path.mkdir()
    elif kind == "nowhere":
        path = path / "below"
    else:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (x)")
        if kind == "newer":
            connection.executescript("PRAGMA application_id = 0x47726973; PRAGMA user_version = 99;")
        connection.close()
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=r"some\.file"):
        Journal(str(path))
    assert (path.read_bytes() if path.is_file() else None) == before


# ---- the export ----


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def export(database: Path, folder: Path, *options: str) -> Path:
    main(["export", "--database", str(database), "--to", str(folder), *options])
    return folder


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_what_was_liked_and_corrected_is_exported(
    journal: Journal, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(
        ["liked", "disliked", "corrected", "filtered", "empty", "changed", "unrated"]
    ):
        finish = "content_filter" if name == "filtered" else "stop"
        record(journal, name, "" if name == "empty" else f"Answer, {name}.", finish, created=10 - number)
    for name in ("liked", "filtered", "empty"):
        rate(journal, name, "up")
    rate(journal, "disliked", "down")
    rate(journal, "corrected", "down", "Paris.")
    rate(journal, "changed", "down", "Rome.")
    rate(journal, "changed", "up", "Paris!")
    folder = export(database, tmp_path / "out")
    assert lines(folder / "chat.jsonl") == [  # in the order in which the answers were given
        {"messages": QUESTION + said("Paris!")},
        {"messages": QUESTION + said("Paris.")},
        {"messages": QUESTION + said("Answer, liked.")},
    ]
    assert lines(folder / "preferences.jsonl") == [
        {"prompt": QUESTION, "chosen": said("Paris!"), "rejected": said("Answer, changed.")},
        {"prompt": QUESTION, "chosen": said("Paris."), "rejected": said("Answer, corrected.")},
    ]
    found = json.loads((folder / "manifest.json").read_text())
    counts = {name: count for name, count in found["counts"].items() if not name.startswith("pii_")}
    assert counts == {
        "answers": 7,
        "feedback": 7,
        "superseded": 1,
        "liked": 1,
        "disliked": 1,
        "corrected": 2,
        "liked_but_blocked_or_empty": 2,
        "chat": 3,
        "preferences": 2,
    }
    assert [entry["rows"] for entry in found["files"]] == [3, 2]
    assert found["facts"]["models"] == [MODEL]
    assert "3 conversations and 2 preferences exported" in capsys.readouterr().out


def test_a_correction_that_corrects_nothing_is_praise_if_it_was_liked(
    journal: Journal, database: Path, tmp_path: Path
) -> None:
    record(journal, "same", "Paris.")
    rate(journal, "same", "up", "Paris.")
    folder = export(database, tmp_path / "out")
    assert lines(folder / "chat.jsonl") == [{"messages": QUESTION + said("Paris.")}]
    assert lines(folder / "preferences.jsonl") == []


def test_the_same_journal_gives_the_same_bytes_and_leaves_a_done_export_alone(
    journal: Journal, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        record(journal, f"r{number}", created=1)
        rate(journal, f"r{number}", "down", f"Better {number}")
    first, second = (export(database, tmp_path / name) for name in ("one", "two"))
    names = ["chat.jsonl", "manifest.json", "preferences.jsonl"]
    assert sorted(path.name for path in first.iterdir()) == names
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]
    export(database, first)
    assert "already exported" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["one", "two"]


def test_the_export_is_what_fine_tuning_reads(journal: Journal, database: Path, tmp_path: Path) -> None:
    record(journal, "a")
    rate(journal, "a", "down", "Paris.")
    folder = export(database, tmp_path / "out")
    reader = RecordReader(FinetuneConfig(preset="chat"))
    ((_, messages),) = reader.read(str(folder / "chat.jsonl"))
    assert messages == [Message("user", "Capital of France?"), Message("assistant", "Paris.")]


def test_personal_data_is_masked_unless_told_otherwise(
    journal: Journal, database: Path, tmp_path: Path
) -> None:
    asked = [{"role": "user", "content": "I am ada@lovelace.org"}]
    journal.record("a", 1, "tiny", MODEL, asked, "Hello ada@lovelace.org", "stop")
    rate(journal, "a", "down", "Hello, bob@lovelace.org")
    masked = export(database, tmp_path / "masked")
    assert lines(masked / "chat.jsonl")[0]["messages"] == [
        {"role": "user", "content": "I am <email>"},
        {"role": "assistant", "content": "Hello, <email>"},
    ]
    assert json.loads((masked / "manifest.json").read_text())["counts"]["pii_emails"] == 3
    plain = export(database, tmp_path / "plain", "--no-mask")
    assert "ada@lovelace.org" in (plain / "chat.jsonl").read_text()


def test_a_pair_that_differs_in_personal_data_only_is_no_preference(
    journal: Journal, database: Path, tmp_path: Path
) -> None:
    record(journal, "a", "Mail ada@lovelace.org")
    rate(journal, "a", "down", "Mail bob@lovelace.org")
    folder = export(database, tmp_path / "out")
    assert lines(folder / "preferences.jsonl") == []
    assert len(lines(folder / "chat.jsonl")) == 1


def test_a_journal_in_use_can_be_exported_and_is_not_changed(
    journal: Journal, database: Path, tmp_path: Path
) -> None:
    record(journal, "a")
    rate(journal, "a", "up")
    before = database.read_bytes()
    assert len(lines(export(database, tmp_path / "out") / "chat.jsonl")) == 1
    assert database.read_bytes() == before


def _nothing_liked(path: Path) -> None:
    journal = Journal(str(path))
    record(journal, "a")
    rate(journal, "a", "down")
    journal.close()


def test_bad_input_is_one_error_and_writes_nothing(tmp_path: Path, database: Path) -> None:
    target = tmp_path / "out"
    cases: list[tuple[Path, type[GristmillError]]] = [(tmp_path / "none", InputError), (tmp_path, InputError)]
    text, foreign = tmp_path / "text", tmp_path / "foreign"
    text.write_text("no tables")
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    _nothing_liked(database)
    cases += [(text, InputError), (foreign, InputError), (database, InputError)]
    for path, kind in cases:
        with pytest.raises(kind) as caught:
            export(path, target)
        assert "\n" not in str(caught.value) and str(path) in str(caught.value)
        assert not target.exists()


def test_another_output_is_never_overwritten(journal: Journal, database: Path, tmp_path: Path) -> None:
    record(journal, "a")
    rate(journal, "a", "up")
    folder = export(database, tmp_path / "out")
    (folder / "chat.jsonl").write_text("{}\n")
    with pytest.raises(ManifestError, match="altered"):
        export(database, folder)
    record(journal, "b")
    rate(journal, "b", "up")
    with pytest.raises(OutputError, match="something else"):
        export(database, folder)
    with pytest.raises(OutputError, match="cannot be written"):
        export(database, folder / "chat.jsonl" / "below")
    assert (folder / "chat.jsonl").read_text() == "{}\n"


def test_the_command_line_says_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "serve.feedback",
            "export",
            "--database",
            "none.sqlite",
            "--to",
            str(tmp_path / "x"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: none.sqlite: no such file; name the one of the server's serve.feedback\n"
