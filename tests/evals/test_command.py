"""The command ``python -m evals``."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from core import manifest
from core.errors import GristmillError, InputError, OutputError
from evals import results
from evals.__main__ import main
from tests.commands import ROOT

QUESTIONS = [
    {"goal": "the <b>mill</b>", "sol1": "turns", "sol2": "sings", "label": 0},
    {"goal": "water", "sol1": "grain", "sol2": "wheel", "label": 1},
]


@pytest.fixture
def arguments(trained: Path, tmp_path: Path) -> list[str]:
    """Arguments for two suites and their data."""
    questions, text = tmp_path / "questions.jsonl", tmp_path / "text.txt"
    questions.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    text.write_text("the old mill turns slow " * 20)
    return [
        *("--model", str(trained), "--suite", "piqa", "text", "--set", "evals.bootstrap=20"),
        *("--data", f"piqa={questions}", f"text={text}", "--to", str(tmp_path / "out")),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_are_complete_and_not_computed_twice(
    arguments: list[str], trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(arguments)
    first = capsys.readouterr()
    assert "piqa: 4 of 4" in first.err
    out = tmp_path / "out"
    summary: dict[str, Any] = json.loads((out / "results.json").read_text())
    questions = (tmp_path / "questions.jsonl").read_bytes()
    piqa, text = summary["suites"]
    assert piqa["data"] == [
        {
            "name": "piqa",
            "path": str(tmp_path / "questions.jsonl"),
            "sha256": sha256(questions).hexdigest(),
            "rows": 2,
        }
    ]
    assert piqa["sha256"] == sha256((ROOT / "evals/suites/piqa.toml").read_bytes()).hexdigest()
    checkpoint = (trained / "training/checkpoints/latest").read_text().strip()
    trained_manifest = manifest.read(str(trained / "training/checkpoints" / checkpoint), "checkpoint")
    assert summary["model"]["sha256"] == trained_manifest.sha256()
    assert summary["settings"]["bootstrap"] == 20
    assert {"python", "torch", "sacrebleu", "rouge-score", "nltk"} <= set(summary["packages"])
    assert [metric["name"] for metric in piqa["metrics"]] == ["accuracy", "accuracy (length-normalized)"]
    assert all(metric["n"] == 2 for metric in piqa["metrics"])
    for suite in (piqa, text):
        lines = (out / suite["items"]["path"]).read_bytes()
        assert sha256(lines).hexdigest() == suite["items"]["sha256"]
    assert [json.loads(line)["answer"] for line in (out / "items/piqa.jsonl").read_text().splitlines()] == [
        0,
        1,
    ]
    found = manifest.read(str(out), results.STAGE)
    manifest.verify(str(out), found)
    assert {entry.path for entry in found.files} | {"manifest.json"} == set(contents(out))
    row = next(line for line in first.out.splitlines() if "bits per byte" in line)
    assert f"{text['metrics'][0]['value']:.4f}" in row

    before = contents(out)
    main(arguments)
    again = capsys.readouterr()
    assert again.out == f"{out}: already evaluated with these settings\n{first.out}"
    assert contents(out) == before
    with pytest.raises(OutputError, match=r"a finished evals of another configuration"):
        main([*arguments, "--set", "evals.limit=1"])
    assert contents(out) == before
    main([*arguments, "--set", "evals.limit=1", "--set", "output.overwrite=true"])
    assert results.read(str(out))["suites"][0]["metrics"][0]["n"] == 1


def test_page_needs_no_network_and_escapes_content(arguments: list[str], tmp_path: Path) -> None:
    main(arguments)
    page = (tmp_path / "out" / "results.html").read_text()
    assert "the <b>mill" not in page and "the &lt;b&gt;mill" in page
    assert "default-src 'none'" in page
    assert not any(mark in page for mark in ("<script", "http://", "https://", "src="))
    for name in ("accuracy (length-normalized)", "perplexity per token", str(tmp_path / "text.txt")):
        assert name in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--suite", "pika"], "no such suite; the nearest valid name is piqa; suites: "),
        (["--suite", "piqa", "piqa"], "--suite piqa: given twice"),
        (["--suite", "piqa", "crows-pairs"], "give its path with --data crows-pairs=PATH"),
        (["--data", "pika=x"], "must be NAME=PATH with a NAME of piqa, piqa.labels, text"),
        (["--data", "piqa"], "must be NAME=PATH"),
        (["--data", "piqa=/nowhere/at/all"], "no such file"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--set", "evals.batchsize=3"], "nearest valid name is evals.batch_size"),
    ],
)
def test_invalid_arguments_are_rejected_before_anything_is_written(
    arguments: list[str], tmp_path: Path, change: list[str], message: str
) -> None:
    if change[0] == "--suite":
        del arguments[3:4]
        arguments.remove("text")
        arguments = [each for each in arguments if each != "--suite"]
        arguments = [each for each in arguments if not each.startswith("text=")]
    before = contents(tmp_path)
    with pytest.raises(GristmillError) as caught:
        main([*arguments, *change])
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_dry_run_checks_inputs_and_writes_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(tmp_path)
    main([*arguments, "--dry-run"])
    assert json.loads(capsys.readouterr().out)["evals"]["bootstrap"] == 20
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--suite", "pika"], "no such suite"),
        (["--data", "pika=x"], "must be NAME=PATH"),
        (["--data", "piqa=/nowhere/at/all"], "no such file"),
        (["--model", "/nowhere/at/all"], "/nowhere/at/all: does not exist"),
    ],
)
def test_dry_run_rejects_what_a_run_would(arguments: list[str], change: list[str], message: str) -> None:
    with pytest.raises(GristmillError, match=message):
        main([*arguments, *change, "--dry-run"])


def test_invalid_items_are_rejected_before_anything_is_written(arguments: list[str], tmp_path: Path) -> None:
    with (tmp_path / "questions.jsonl").open("a") as file:
        file.write('{"goal": "g", "sol1": "a", "sol2": "b", "label": 5}\n')
    with pytest.raises(InputError, match=r"line 3: field 'label' is 5"):
        main(arguments)
    assert not (tmp_path / "out").exists()


def test_errors_are_one_line(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "evals",
        "--model",
        "x",
        "--suite",
        "pika",
        "--to",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: --suite pika: no such suite") and done.stderr.count("\n") == 1


def test_other_json_files_are_not_accepted_as_results(tmp_path: Path) -> None:
    for text in ("{", "[]", "{}", '{"schema_version": 0, "model": {}, "suites": []}'):
        (tmp_path / "results.json").write_text(text)
        with pytest.raises(InputError, match="not evaluation results of version 1"):
            results.read(str(tmp_path))
