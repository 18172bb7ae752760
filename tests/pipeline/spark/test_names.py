"""Inputs and outputs of any name."""

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from core.config import load
from pipeline.spark.clean import clean

pytestmark = pytest.mark.spark

NAMES = [
    "out [v2]",
    "a{b}c, star*",
    "q?x=1&y#z",
    "100% %20",
    "a::b",
    "back\\slash",
    "spät 漢字 😀",
    "documents/run",
]


@pytest.mark.parametrize("name", NAMES)
def test_inputs_and_outputs_of_any_name(spark, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "in" / name
    folder.mkdir(parents=True)
    (folder / "part[01].jsonl").write_text('{"text": "The ferry arrives."}\n')
    (folder / "part0.jsonl").write_text('{"text": "Another file."}\n')
    (folder / "empty.jsonl").touch()
    out = tmp_path / "out" / name
    paths = json.dumps([str(folder / "part[01].jsonl"), str(folder / "empty.jsonl")], ensure_ascii=False)
    overrides = [f"input.paths={paths}", f"output.path={json.dumps(str(out), ensure_ascii=False)}"]
    config = load(None, [*overrides, "filters.preset=none"])
    made = clean(spark, config)
    assert (made.counts["records_in"], made.counts["kept"]) == (1, 1)
    assert made.skipped_inputs == {str(folder / "empty.jsonl"): "empty"}
    assert {entry.path.partition("/")[0] for entry in made.files} >= {"documents", "ledger"}
    assert all((out / entry.path).stat().st_size == entry.size for entry in made.files)
    documents = ds.dataset(out / "documents", partitioning="hive").to_table()
    assert documents["text"].to_pylist() == ["The ferry arrives."]
    assert clean(spark, config) == made
