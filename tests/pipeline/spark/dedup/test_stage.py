"""Deduplication of tables of texts on its own, and of a finished run decided about again."""

import json
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config import load
from core.errors import ConfigError, InputError, MismatchError, OutputError
from jobs import dedup as job
from pipeline.analysis.normalized import normalized_words
from pipeline.dedup.parameters import parameters
from pipeline.ledger import records_folder
from pipeline.spark.dedup.stage import dedup, validate
from tests.pipeline.spark.dedup import corpus

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Half of the corpus as JSON lines, half as Parquet, with two damaged rows."""
    folder = tmp_path_factory.mktemp("texts")
    rows = corpus.documents(120)
    lines = corpus.write(rows[:60], folder / "a.jsonl")
    lines.write_text(lines.read_text() + '{"text": null}\n{"no": 1}\n')
    pq.write_table(pa.Table.from_pylist(rows[60:]), folder / "b.parquet")
    return folder, rows


POLICY = ("input.keep_columns=['key']", "dedup.keep=['oldest', 'longest']")


def configured(out, paths, *settings):
    listed = json.dumps([str(each) for each in paths])
    return load(None, [*([f"input.paths={listed}"] if paths else []), f"output.path={out}", *settings])


def table(folder):
    return [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def run(spark, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "out"
    config = configured(out, [texts[0]], *POLICY)
    return out, config, dedup(spark, config)


def test_every_document_is_kept_dropped_or_quarantined(run, texts):
    out, _, made = run
    counts = made.counts
    assert counts["records_in"] == 122 and counts["quarantined"] == 2
    assert counts["kept"] + counts["dropped"] == 120 and counts["dropped"] > 10
    assert counts["dropped"] == counts["dropped.dedup.exact"] + counts["dropped.dedup.near"]
    kept, dropped = table(out / "documents"), table(out / "duplicates")
    keys = [row["metadata"]["key"] for row in (*kept, *dropped)]
    assert sorted(keys) == sorted(row["key"] for row in texts[1])
    assert {row["id"] for row in table(out / "ledger") if row["kept"]} == {row["id"] for row in kept}
    by_key = {row["key"]: row["text"] for row in texts[1]}
    assert all(row["text"] == by_key[row["metadata"]["key"]] for row in kept)
    assert sum(row["cluster_size"] for row in kept) == 120


def test_dropped_documents_resemble_the_one_that_stays(run, texts):
    out, config, _ = run
    documents = {row["key"]: row for row in texts[1]}
    rows = {row["id"]: row for name in ("documents", "duplicates") for row in table(out / name)}
    for row in table(out / "duplicates"):
        pair = [documents[rows[id_]["metadata"]["key"]] for id_ in (row["id"], row["duplicate_of"])]
        words = normalized_words([each["text"] for each in pair])
        one, other = (set(ngrams(words.of_text(index).tolist())) for index in (0, 1))
        assert len(one & other) / len(one | other) == pytest.approx(row["similarity"])
        assert row["similarity"] >= parameters(config.dedup).threshold
        assert pair[1]["date"] <= pair[0]["date"]
        assert row["reason"] == "dedup.exact" or pair[0]["text"] != pair[1]["text"]


def ngrams(words, size=5):
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))


@pytest.mark.parametrize("partitions", [1, 7])
def test_table_of_duplicates_is_the_same_bytes_for_any_partitioning(spark, run, texts, tmp_path, partitions):
    settings = (*POLICY, "dedup.output=duplicates", f"input.partitions={partitions}")
    made = dedup(spark, configured(tmp_path / "out", [texts[0]], *settings, "input.split_bytes=65536"))
    assert made.facts["corpus"] == run[2].facts["corpus"] and made.counts == run[2].counts
    files = [sorted((out / "duplicates").glob("*.parquet")) for out in (run[0], tmp_path / "out")]
    assert [[path.name for path in each] for each in files] == [["part-00000.parquet"]] * 2
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    assert not (tmp_path / "out" / "documents").exists()


@pytest.mark.parametrize(
    "settings", [("dedup.threshold=0.95", "dedup.preset=fineweb"), ("dedup.bands=20", "dedup.rows=4")]
)
def test_finished_run_is_decided_about_again_without_its_inputs(spark, run, texts, tmp_path, settings):
    made = dedup(spark, configured(tmp_path / "again", [], f"dedup.run={run[0]}", *settings))
    direct = dedup(spark, configured(tmp_path / "direct", [texts[0]], *settings))
    assert made.facts["corpus"] == direct.facts["corpus"] != run[2].facts["corpus"]
    assert {row["metadata"]["key"] for row in table(tmp_path / "again" / "documents")}
    has_own_signatures = (tmp_path / "again" / "analysis" / "records").exists()
    assert has_own_signatures == ("dedup.bands=20" in settings)


def test_columns_of_the_input_are_passed_on_from_run_to_run(spark, run, tmp_path):
    runs = [run[0], tmp_path / "second", tmp_path / "third"]
    for base, out in pairwise(runs):
        dedup(spark, configured(out, [], f"dedup.run={base}"))
    second, third = [{row["metadata"]["key"] for row in table(out / "documents")} for out in runs[1:]]
    assert second == third and len(second) > 50
    with pytest.raises(MismatchError, match=r"^input\.keep_columns = a: dedup\.run = .* has key; remove"):
        dedup(spark, configured(tmp_path / "out", [], f"dedup.run={runs[2]}", "input.keep_columns=['a']"))
    assert not (tmp_path / "out").exists()


def test_records_of_a_replaced_run_are_not_taken_for_its_own(spark, texts, tmp_path):
    base, again = tmp_path / "base", tmp_path / "again"
    dedup(spark, configured(base, [texts[0] / "a.jsonl"]))
    dedup(spark, configured(again, [], f"dedup.run={base}", "dedup.near=false"))
    assert records_folder(str(again)) == f"{base}/analysis/records"
    dedup(spark, configured(base, [texts[0] / "b.parquet"], "output.overwrite=true"))
    with pytest.raises(InputError, match="was replaced"):
        records_folder(str(again))


def test_latest_capture_of_an_address_stays(spark, tmp_path):
    rows = corpus.documents(9, seed=7)
    addresses = ["http://a.org/x", "https://www.a.org/x/#top", "http://a.org/y"] * 3
    for index, (row, url) in enumerate(zip(rows, addresses, strict=True)):
        row |= {"url": url, "date": f"20{10 + index}-01-01"}
    path = corpus.write(rows, tmp_path / "in" / "a.jsonl")
    only_urls = ("dedup.url=true", "dedup.near=false", "dedup.exact=false")
    made = dedup(spark, configured(tmp_path / "out", [path], *only_urls))
    assert made.counts["kept"] == 2 and made.counts["dropped.dedup.url"] == 7
    assert sorted(row["fetched_at"].year for row in table(tmp_path / "out" / "documents")) == [2017, 2018]
    stays = {row["url"]: row["id"] for row in table(tmp_path / "out" / "documents")}
    assert {row["duplicate_of"] for row in table(tmp_path / "out" / "duplicates")} == set(stays.values())


def test_job_prints_the_counts_and_repeats_nothing(spark, run, texts, capsys, monkeypatch):
    monkeypatch.setattr(job, "session", lambda *_: spark)
    arguments = [f"input.paths=['{texts[0]}']", f"output.path={run[0]}", *POLICY]
    job.main([each for argument in arguments for each in ("--set", argument)])
    printed = capsys.readouterr().out
    assert "dedup: already done" in printed and "dedup: 122 records in" in printed


def test_other_formats_and_contradictions_are_refused_before_anything_is_written(spark, run, tmp_path):
    page = tmp_path / "book.txt"
    page.write_text("CHAPTER I\n\nOnce upon a time.\n")
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"book\.txt: is read as books, but dedup reads tables"):
        dedup(spark, configured(out, [page]))
    with pytest.raises(ConfigError, match=r"dedup\.run = .* set one"):
        validate(configured(out, [page], f"dedup.run={run[0]}"))
    with pytest.raises(OutputError, match="would replace it"):
        dedup(spark, configured(run[0], [run[0] / "documents"]))
    assert not out.exists()
