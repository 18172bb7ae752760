"""Export of feedback as training data."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.config import FinetuneConfig
from core.errors import ConfigError, GristmillError, InputError, ManifestError, OutputError
from core.tokenizer.chat import Message
from serve.feedback.__main__ import main
from serve.feedback.store import FeedbackStore
from tests.commands import ROOT
from tests.serve.feedback.samples import MODEL_SHA256, QUESTION, add_answer, rate
from train.data.records import RecordReader


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def export(database: Path, folder: Path, *options: str) -> Path:
    main(["export", "--database", str(database), "--to", str(folder), *options])
    return folder


def assistant(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def test_liked_and_corrected_answers_are_exported(
    store: FeedbackStore, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(
        ["liked", "disliked", "corrected", "filtered", "empty", "changed", "unrated"]
    ):
        finish = "content_filter" if name == "filtered" else "stop"
        add_answer(store, name, "" if name == "empty" else f"Answer, {name}.", finish, created=10 - number)
    for name in ("liked", "filtered", "empty"):
        rate(store, name, "up")
    rate(store, "disliked", "down")
    rate(store, "corrected", "down", "Paris.")
    rate(store, "changed", "down", "Rome.")
    rate(store, "changed", "up", "Paris!")
    folder = export(database, tmp_path / "out")
    assert lines(folder / "chat.jsonl") == [  # in the order of the answers
        {"messages": QUESTION + assistant("Paris!")},
        {"messages": QUESTION + assistant("Paris.")},
        {"messages": QUESTION + assistant("Answer, liked.")},
    ]
    assert lines(folder / "preferences.jsonl") == [
        {"prompt": QUESTION, "chosen": assistant("Paris!"), "rejected": assistant("Answer, changed.")},
        {"prompt": QUESTION, "chosen": assistant("Paris."), "rejected": assistant("Answer, corrected.")},
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    counts = {name: count for name, count in manifest["counts"].items() if not name.startswith("pii_")}
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
    assert [entry["rows"] for entry in manifest["files"]] == [3, 2]
    assert manifest["facts"]["models"] == [MODEL_SHA256]
    assert "3 conversations and 2 preferences exported" in capsys.readouterr().out


def test_correction_equal_to_a_liked_answer_is_no_preference(
    store: FeedbackStore, database: Path, tmp_path: Path
) -> None:
    add_answer(store, "same", "Paris.")
    rate(store, "same", "up", "Paris.")
    folder = export(database, tmp_path / "out")
    assert lines(folder / "chat.jsonl") == [{"messages": QUESTION + assistant("Paris.")}]
    assert lines(folder / "preferences.jsonl") == []


def test_export_is_deterministic_and_repeating_it_changes_nothing(
    store: FeedbackStore, database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(20):
        add_answer(store, f"r{number}", created=1)
        rate(store, f"r{number}", "down", f"Better {number}")
    first, second = (export(database, tmp_path / name) for name in ("one", "two"))
    names = ["chat.jsonl", "manifest.json", "preferences.jsonl"]
    assert sorted(path.name for path in first.iterdir()) == names
    assert [(first / name).read_bytes() for name in names] == [(second / name).read_bytes() for name in names]
    export(database, first)
    assert "already exported" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["one", "two"]


def test_fine_tuning_reads_the_export(store: FeedbackStore, database: Path, tmp_path: Path) -> None:
    add_answer(store, "a")
    rate(store, "a", "down", "Paris.")
    folder = export(database, tmp_path / "out")
    reader = RecordReader(FinetuneConfig(preset="chat"))
    (row,) = reader.rows(str(folder / "chat.jsonl"))
    assert reader.conversation(row) == [Message("user", "Capital of France?"), Message("assistant", "Paris.")]


def test_personal_data_is_masked_by_default(store: FeedbackStore, database: Path, tmp_path: Path) -> None:
    question = [{"role": "user", "content": "I am ada@lovelace.org"}]
    add_answer(store, "a", "Hello ada@lovelace.org", messages=question)
    rate(store, "a", "down", "Hello, bob@lovelace.org")
    masked = export(database, tmp_path / "masked")
    assert lines(masked / "chat.jsonl")[0]["messages"] == [
        {"role": "user", "content": "I am <email>"},
        {"role": "assistant", "content": "Hello, <email>"},
    ]
    assert json.loads((masked / "manifest.json").read_text())["counts"]["pii_emails"] == 3
    plain = export(database, tmp_path / "plain", "--no-mask")
    assert "ada@lovelace.org" in (plain / "chat.jsonl").read_text()


def test_texts_that_differ_only_in_personal_data_are_no_preference(
    store: FeedbackStore, database: Path, tmp_path: Path
) -> None:
    add_answer(store, "a", "Mail ada@lovelace.org")
    rate(store, "a", "down", "Mail bob@lovelace.org")
    folder = export(database, tmp_path / "out")
    assert lines(folder / "preferences.jsonl") == []
    assert len(lines(folder / "chat.jsonl")) == 1


def test_export_from_an_open_store_does_not_change_it(
    store: FeedbackStore, database: Path, tmp_path: Path
) -> None:
    add_answer(store, "a")
    rate(store, "a", "up")
    before = database.read_bytes()
    assert len(lines(export(database, tmp_path / "out") / "chat.jsonl")) == 1
    assert database.read_bytes() == before


def test_unusable_databases_are_one_error_and_nothing_is_written(
    store: FeedbackStore, database: Path, tmp_path: Path
) -> None:
    text, other = tmp_path / "text", tmp_path / "other"
    text.write_text("plain text")
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    add_answer(store, "a")
    rate(store, "a", "down")  # nothing to learn from
    for path in (tmp_path / "none", tmp_path, text, other, database):
        with pytest.raises(GristmillError) as raised:
            export(path, tmp_path / "out")
        assert type(raised.value) is InputError
        assert "\n" not in str(raised.value) and str(path) in str(raised.value)
        assert not (tmp_path / "out").exists()


def test_other_content_is_never_overwritten(store: FeedbackStore, database: Path, tmp_path: Path) -> None:
    add_answer(store, "a")
    rate(store, "a", "up")
    folder = export(database, tmp_path / "out")
    (folder / "chat.jsonl").write_text("{}\n")
    with pytest.raises(ManifestError, match="altered"):
        export(database, folder)
    add_answer(store, "b")
    rate(store, "b", "up")
    with pytest.raises(OutputError, match="already has other content"):
        export(database, folder)
    with pytest.raises(OutputError, match="cannot be written"):
        export(database, folder / "chat.jsonl" / "below")
    assert (folder / "chat.jsonl").read_text() == "{}\n"


def test_command_line_reports_errors_as_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serve.feedback", "export", "--database", "none.sqlite"]
    command += ["--to", str(tmp_path / "x")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: none.sqlite: no such file; name the one of the server's serve.feedback\n"
    with pytest.raises(
        ConfigError, match=r"^the following arguments are required: --database, --to; see --help$"
    ):
        main(["export"])


def test_rows_are_listed_and_deleted(
    store: FeedbackStore, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    question = [{"role": "user", "content": "Why\x1b[2J?\n" + "so " * 50}]
    for name in ("a", "b", "c"):
        add_answer(store, name, messages=question)
    rate(store, "a", "up")
    feedback_id = rate(store, "b", "down")
    rate(store, "b", "up")
    main(["list", "--database", str(database)])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(name, ratings) for name, _, ratings, _ in lines] == [("a", "up"), ("b", "down,up"), ("c", "-")]
    assert lines[0][1] == "1970-01-01T00:00:01Z"
    assert lines[0][3].startswith("Why␛[2J? so so") and len(lines[0][3]) == 60
    main(["delete", "--database", str(database), "--unrated"])
    main(["delete", "--database", str(database), feedback_id, "a"])
    assert capsys.readouterr().out == f"1 rows deleted from {database}\n3 rows deleted from {database}\n"
    main(["list", "--database", str(database)])
    assert capsys.readouterr().out.startswith("b\t")
    with pytest.raises(InputError, match="stores none of a, x; see"):
        main(["delete", "--database", str(database), "a", "x"])
    for arguments in ([], ["b", "--unrated"]):
        with pytest.raises(ConfigError, match="name the ids to delete, or --unrated"):
            main(["delete", "--database", str(database), *arguments])
    with pytest.raises(InputError, match="no such file"):
        main(["delete", "--database", f"{database}x", "a"])
