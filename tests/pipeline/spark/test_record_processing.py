"""The pass over text, without a JVM: whatever is read becomes one row each."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.config import Config, load
from core.errors import InputError
from pipeline.filters import FilterInput
from pipeline.readers.record import InputSplit
from pipeline.spark import record_processing
from pipeline.spark.record_processing import RecordProcessor, process_splits

TEXT = "The old lighthouse stands on the northern tip of the island."
FIELDS = st.sampled_from(["text", "url", "title", "language", "date", "license", "score"])
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=())), st.integers(), st.floats(), st.none(), st.lists(st.text())
)


@pytest.fixture(scope="module")
def config() -> Config:
    return load(None, ["filters.preset=none", 'input.paths=["x"]', 'input.keep_columns=["score"]'])


def rows(path: Path, lines: list[dict[str, Any]], config: Config) -> list[dict[str, Any]]:
    path.write_text("\n".join(map(json.dumps, lines)))
    split = InputSplit(str(path), path.name, "jsonl", "mine", 0, path.stat().st_size)
    return [row for batch in process_splits([split], config) for row in batch.to_pylist()]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.dictionaries(FIELDS, VALUES))
def test_every_line_becomes_one_row(tmp_path: Path, config: Config, row: dict[str, Any]) -> None:
    found = rows(tmp_path / "a.jsonl", [row, {"text": TEXT}], config)
    assert len(found) == 2
    assert found[1]["text"] == TEXT
    assert not (found[0]["error"] or "").startswith("cannot be processed")


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text() | st.just(TEXT), max_size=8), limit=st.integers(1, 200))
def test_rows_do_not_depend_on_batches(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch, texts: list[str], limit: int
) -> None:
    lines = [{"text": text, "url": f"http://example.org/{index}"} for index, text in enumerate(texts)]
    together = rows(tmp_path / "a.jsonl", lines, config)
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.analysis.document_analysis.BATCH_CHARACTERS", limit)
        patched.setattr(record_processing, "ANALYSED_CHARACTERS", limit)
        assert rows(tmp_path / "a.jsonl", lines, config) == together


def test_kept_columns_reach_the_row(tmp_path: Path, config: Config) -> None:
    found = rows(tmp_path / "a.jsonl", [{"text": TEXT, "score": 0.5}, {"text": TEXT}], config)
    assert [row["metadata"] for row in found] == [{"score": "0.5"}, {"score": None}]


def test_declared_quality_is_a_metric(tmp_path: Path) -> None:
    config = load(None, ["filters.preset=none", "input.columns.quality=score"])
    found = rows(tmp_path / "a.jsonl", [{"text": TEXT, "score": 0.5}, {"text": TEXT}], config)
    assert [row["metrics"]["quality"] for row in found] == [0.5, None]


def test_declared_source_replaces_that_of_the_input(tmp_path: Path) -> None:
    settings = ["filters.preset=none", "input.columns.source=origin", 'filters.keep_lines=["poems"]']
    lines = [{"text": TEXT, "origin": source} for source in ("poems", "", None)]
    config = load(None, settings)
    found = rows(tmp_path / "a.jsonl", lines, config)
    assert [row["source"] for row in found] == ["poems", "mine", "mine"]
    split = InputSplit(str(tmp_path / "a.jsonl"), "a.jsonl", "jsonl", "mine", 0, 1 << 20)
    tables = record_processing.process_texts([split], config)
    assert [row["source"] for batch in tables for row in batch.to_pylist()] == ["poems", "mine", "mine"]


def test_record_that_a_filter_cannot_process_is_damaged(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = record_processing.FilterPipeline.filter_texts

    def filter_texts(self: Any, inputs: list[FilterInput]) -> Any:
        for each in measure(self, inputs):
            if "bad" in each.text:
                raise KeyError("\ud83d")
            yield each

    monkeypatch.setattr(record_processing.FilterPipeline, "filter_texts", filter_texts)
    bad, good = rows(tmp_path / "a.jsonl", [{"text": "bad"}, {"text": TEXT}], config)
    assert bad["error"].startswith("cannot be processed: KeyError")
    assert (bad["text"], bad["origin"]["offset"]) == (None, 0)
    assert good["text"] == TEXT


def test_row_that_arrow_cannot_hold_is_damaged(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    processed = RecordProcessor.rows

    def spoiled(self: Any, items: Any) -> Any:
        for row, text in processed(self, items):
            yield row | ({"title": "\ud83d"} if row["origin"]["offset"] == 0 else {}), text

    monkeypatch.setattr(RecordProcessor, "rows", spoiled)
    bad, good = rows(tmp_path / "a.jsonl", [{"text": "first"}, {"text": TEXT}], config)
    assert bad["error"].startswith("cannot be processed: UnicodeEncodeError")
    assert good["text"] == TEXT


def test_missing_model_ends_the_run_instead_of_costing_every_record(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"not a model")
    setting = f'filters.language_model="{tmp_path / "model"}"'
    with pytest.raises(InputError, match="name a fastText model"):
        RecordProcessor(load(None, ["filters.preset=none", setting]))


def test_long_titles_fill_a_batch(config: Config) -> None:
    title = "x" * record_processing.BATCH_CHARACTERS
    batches = record_processing.BatchBuilder(config).batches([({"title": title}, None)] * 2)
    assert [batch.num_rows for batch in batches] == [1, 1]
