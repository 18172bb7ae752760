import json
from collections import Counter
from functools import partial
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from core import manifest
from core.config import Config, load
from core.errors import InputError, OutputError
from pipeline.filters import pii
from pipeline.ledger import FunnelStep
from pipeline.spark import sources, tables
from pipeline.spark.clean import clean, validate
from pipeline.spark.report.stage import report
from pipeline.spark.rethreshold import rethreshold
from tests import small_crawl

pytestmark = pytest.mark.spark


def _config(crawl: Path, out: Path, *overrides: str) -> Config:
    return load(None, [f'input.paths=["{crawl}"]', f"output.path={out}", "ledger.sample_share=1", *overrides])


def _rows(folder: Path) -> list[dict]:
    return ds.dataset(folder, partitioning="hive").to_table().to_pylist()


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("crawl") / "raw")


@pytest.fixture(scope="module")
def cleaned(spark, crawl, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    return out, clean(spark, _config(crawl.folder, out))


def test_every_record_is_accounted_for_once(crawl, cleaned):
    out, made = cleaned
    entries, damaged = _rows(out / "ledger"), _rows(out / "quarantine")
    ids = [row["id"] for row in [*entries, *damaged]]
    assert len(ids) == len(set(ids)) == crawl.records
    assert len(damaged) == crawl.quarantined
    kept = [row for row in entries if row["kept"]]
    reasons = Counter(row["reason"] for row in entries if not row["kept"])
    counts = made.counts
    assert counts["records_in"] == len(ids) == counts["kept"] + counts["dropped"] + counts["quarantined"]
    assert counts["kept"] == len(kept)
    assert counts["dropped"] == sum(reasons.values())
    assert {key: n for key, n in counts.items() if key.startswith("dropped.")} == {
        f"dropped.{reason}": n for reason, n in reasons.items()
    }
    assert {row["id"] for row in kept} == {row["id"] for row in _rows(out / "documents")}
    by_source = made.facts["by_source"]
    assert sum(source["records_in"] for source in by_source.values()) == counts["records_in"]


def test_reasons_match_the_records_of_the_crawl(cleaned):
    out, made = cleaned
    assert set(made.facts["by_source"]) == {"commoncrawl", "wikipedia", "books", "jsonl"}
    dropped = {row["reason"] for row in _rows(out / "ledger") if not row["kept"]}
    assert {
        "read.record_type",
        "read.http_status",
        "read.media_type",
        "read.namespace",
        "read.redirect",
    } <= dropped
    assert {"dedup.exact", "dedup.near", "gopher.few_words"} <= dropped
    for row in _rows(out / "ledger"):
        assert (row["stage"] is None) == row["kept"] == (row["reason"] is None)


def test_manifest_states_how_much_personal_data_was_found_and_if_it_was_masked(spark, cleaned, tmp_path):
    out, made = cleaned
    found = made.facts["personal_data"]
    documents = _rows(out / "documents")
    assert found["masked"] and made.config["filters"]["mask_pii"] is True
    assert found["in_documents"] == {
        metric: sum(row["metrics"][metric] or 0 for row in documents) for metric in pii.TAGS
    }
    (tmp_path / "a.jsonl").write_text('{"text": "Write to jane@site.org."}\n')
    for mask, text in (("true", "Write to <email>."), ("false", "Write to jane@site.org.")):
        settings = ["filters.preset=none", f"filters.mask_pii={mask}", f'input.paths=["{tmp_path}/a.jsonl"]']
        made = clean(spark, load(None, [*settings, f"output.path={tmp_path}/{mask}"]))
        assert [row["text"] for row in _rows(tmp_path / mask / "documents")] == [text]
        assert made.facts["personal_data"]["masked"] == (mask == "true")
        assert made.facts["personal_data"]["in_documents"]["pii_emails"] == 1


def test_manifest_counts_what_editing_removed_except_from_books(spark, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    text = "ANNE\n\nThe miller went down to the river with her.\n\nHAL\n\nHe came back with the evening."
    (folder / "play.txt").write_text(text)
    (folder / "page.jsonl").write_text(json.dumps({"text": text}) + "\n")
    settings = ["filters.preset=c4", 'filters.thresholds."c4.few_sentences"=0', "dedup.near=false"]
    made = clean(spark, load(None, [f'input.paths=["{folder}"]', f"output.path={tmp_path}/out", *settings]))
    texts = {row["source"]: row["text"] for row in _rows(tmp_path / "out" / "documents")}
    edited = "The miller went down to the river with her.\n\nHe came back with the evening."
    assert texts == {"books": text, "jsonl": edited}
    counts = {"documents": 1, "characters": 67}
    assert made.facts["edits"] == {
        "books": counts | {"edited": 0, "removed_characters": 0, "removed_lines": 0},
        "jsonl": counts | {"edited": 1, "removed_characters": 7, "removed_lines": 2},
    }


def test_manifest_counts_records_that_reached_each_condition(cleaned):
    _, made = cleaned
    funnel = [FunnelStep.model_validate(step) for step in made.facts["funnel"]]
    assert [step.reason.value for step in funnel] == list(made.config["filters"]["thresholds"])
    assert {step.reason: step.dropped for step in funnel if step.dropped} == {
        key.removeprefix("dropped."): count
        for key, count in made.counts.items()
        if key.startswith("dropped.") and key.split(".")[1] not in {"read", "extract", "dedup"}
    }
    duplicates = made.counts["dropped.dedup.exact"] + made.counts["dropped.dedup.near"]
    assert funnel[-1].reached - funnel[-1].dropped == made.counts["kept"] + duplicates


def test_duplicates_refer_to_the_surviving_document(cleaned):
    out, _ = cleaned
    documents = {row["id"]: row for row in _rows(out / "documents")}
    copies = [row for row in _rows(out / "ledger") if (row["reason"] or "").startswith("dedup.")]
    for copy in copies:
        survivor = documents[copy["duplicate_of"]]
        assert survivor["cluster"] == copy["duplicate_of"]
        assert survivor["cluster_size"] >= 2
    assert sum(row["cluster_size"] > 1 for row in documents.values()) == len(
        {c["duplicate_of"] for c in copies}
    )


def test_data_sources_return_the_same_records(spark, crawl, cleaned):
    out, _ = cleaned
    sources.register(spark)
    found = []
    for name, files in (("warc", "*.warc*"), ("wikipedia", "*.bz2"), ("books", "*.txt")):
        table = spark.read.format(name).schema("id STRING, source STRING").option("records", "all")
        found += [tuple(row) for row in table.load(f"{crawl.folder}/{files}").collect()]
    rows = [*_rows(out / "ledger"), *_rows(out / "quarantine")]
    assert sorted(found) == sorted((row["id"], row["source"]) for row in rows if row["source"] != "jsonl")


def test_manifest_lists_and_hashes_every_file(cleaned):
    out, made = cleaned
    manifest.verify(str(out), made)
    listed = {entry.path for entry in made.files}
    assert listed == {
        str(path.relative_to(out))
        for table in ("documents", "ledger", "quarantine")
        for path in (out / table).rglob("*.parquet")
    }
    assert sum(e.rows for e in made.files if e.path.startswith("documents/")) == made.counts["kept"]


def test_rerun_does_nothing(spark, crawl, cleaned, capsys):
    out, made = cleaned
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert clean(spark, _config(crawl.folder, out)) == made
    assert capsys.readouterr().out == "clean: already done\n"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_interrupted_run_resumes_and_publishes_the_same(spark, crawl, tmp_path, capsys):
    out = tmp_path / "out"
    complete = clean(spark, _config(crawl.folder, out))
    mark = {"stage": "clean", "fingerprint": complete.fingerprint}
    (out / manifest.STARTED).write_bytes(manifest.canonical(mark))
    (out / manifest.NAME).unlink()
    capsys.readouterr()
    resumed = clean(spark, _config(crawl.folder, out))
    assert "finished by an earlier attempt" in capsys.readouterr().out
    assert resumed.facts == complete.facts
    assert resumed.counts == complete.counts


def test_interrupted_reading_goes_on_with_its_portion(spark, crawl, cleaned, tmp_path, monkeypatch, capsys):
    config = _config(crawl.folder, tmp_path / "out", "input.portion_bytes=600000")
    records = tmp_path / "out" / "analysis" / "records"
    write = tables.write

    def fail(table, folder, name):
        if folder.endswith("portion=00001"):
            folder += "/half"
        write(table, folder, name)
        if folder.endswith("half"):
            raise OSError("killed")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(tables, "write", fail)
        clean(spark, config)
    before = {path: path.stat().st_mtime_ns for path in records.rglob("*.parquet")}
    assert {path.parent.name for path in before} == {"portion=00000", "half"}
    made = clean(spark, config)
    portions = len(list(records.iterdir()))
    assert portions > 2
    assert f"records, portion 1 of {portions}: finished by an earlier attempt" in capsys.readouterr().out
    kept = {path for path, changed in before.items() if path.exists() and path.stat().st_mtime_ns == changed}
    assert {path.parent.name for path in kept} == {"portion=00000"}
    whole = cleaned[1]
    assert (made.facts, made.counts) == (whole.facts, whole.counts)


def test_different_configuration_is_rejected_and_changes_nothing(spark, crawl, cleaned):
    out, _ = cleaned
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(OutputError, match=r"holds a finished clean of another configuration"):
        clean(spark, _config(crawl.folder, out, "filters.preset=none"))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_finished_run_is_compared_without_reading_the_input(crawl, cleaned):
    out, _ = cleaned
    validate(_config(crawl.folder, out))
    validate(_config(crawl.folder, out, "filters.preset=none", "output.overwrite=true"))
    with pytest.raises(OutputError, match=r"holds a finished clean of another configuration"):
        validate(_config(crawl.folder, out, "filters.preset=none"))


def test_invalid_input_is_rejected_before_anything_is_written(spark, tmp_path):
    (tmp_path / "x.warc.gz").write_bytes(b"%PDF-1.7 and so on")
    with pytest.raises(
        InputError, match=r"^[^\n]*x\.warc\.gz: is a PDF file, a format that is not read[^\n]*$"
    ):
        clean(spark, _config(tmp_path / "x.warc.gz", tmp_path / "out"))
    with pytest.raises(InputError, match=r"nothing there"):
        clean(spark, _config(tmp_path / "missing", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_preset_none_keeps_every_readable_page_with_its_metrics(spark, crawl, tmp_path):
    switches = ["filters.preset=none", "dedup.exact=false", "dedup.near=false"]
    made = clean(spark, _config(crawl.folder, tmp_path / "out", *switches))
    documents = _rows(tmp_path / "out" / "documents")
    reasons = {key.split(".")[1] for key in made.counts if key.startswith("dropped.")}
    assert reasons <= {"read", "extract"}
    for row in documents:
        unmeasured = {name for name, value in row["metrics"].items() if value is None} - {
            "language_stop_words"
        }
        url_metrics = {name for name in row["metrics"] if name.startswith("url_")}
        assert unmeasured == {"quality", "toxic_sentences"} | (set() if row["url"] else url_metrics)
    clusters = Counter(row["cluster"] for row in documents)
    assert max(clusters.values()) > 1  # duplicates are kept, and still clustered
    assert json.dumps(made.config["filters"]["thresholds"]) == "{}"


def test_tables_hold_parquet_files_only_and_open_as_one_table(cleaned):
    out, made = cleaned
    for table in ("documents", "ledger", "quarantine", "analysis/records/portion=00000"):
        assert {path.suffix for path in (out / table).iterdir()} == {".parquet"}
    sources = Counter(pq.read_table(out / "documents")["source"].to_pylist())
    assert sources == {name: each["kept"] for name, each in made.facts["by_source"].items() if "kept" in each}


def test_kept_columns_are_published_and_analysis_is_removable(spark, tmp_path):
    text = "The old lighthouse stands on the northern tip of the island."
    lines = [{"text": text, "score": 0.5, "\ud83d": 1}, {"text": f"{text} Again.", "date": "10000-01-01"}, {}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    switches = ["filters.preset=none", "dedup.near=false", 'input.keep_columns=["score"]']
    switches.append("output.keep_analysis=false")
    config = _config(tmp_path / "a.jsonl", tmp_path / "out", *switches)
    made = clean(spark, config)
    assert (made.counts["kept"], made.counts["quarantined"]) == (2, 1)
    kept = sorted(_rows(tmp_path / "out" / "documents"), key=lambda row: row["origin"]["offset"])
    assert [row["metadata"] for row in kept] == [{"score": "0.5"}, {"score": None}]
    assert not (tmp_path / "out" / "analysis").exists()
    assert clean(spark, config) == made
    for read_analysis in (partial(rethreshold, lambda: spark), partial(report, spark)):
        with pytest.raises(InputError, match=r"analysis: was removed .*keep_analysis.*run clean with"):
            read_analysis(config)
