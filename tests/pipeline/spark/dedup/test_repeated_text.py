"""Lines and passages that documents have in common are cut from what is published, and accounted for."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from selectolax.lexbor import LexborHTMLParser

from core.config import load
from pipeline.spark.dedup.signature_index import add_run
from pipeline.spark.dedup.stage import dedup
from pipeline.spark.report import report
from tests.pipeline.spark.dedup import corpus

pytestmark = pytest.mark.spark

MENU = "Home | About us | Contact"
PASSAGE = " ".join(f"shared{'abcdefghij'[index % 10]}{'klmnopqrst'[index // 10]}" for index in range(60))


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Twelve unlike documents, ten of them with a menu and three with a passage; two are only the menu."""
    bodies = [row["text"] for row in corpus.documents(60, seed=11)][::5][:12]
    texts = [f"{MENU}\n{body}" if index < 10 else body for index, body in enumerate(bodies)]
    for index in (2, 5, 11):
        texts[index] += f"\n\n{PASSAGE}\n\nThe end of {'abc'[index % 3]}."
    rows = [{"text": text, "url": f"http://host-{index % 4}.org/{index}"} for index, text in enumerate(texts)]
    rows += [{"text": f"{MENU}\n\n{MENU}\n", "url": f"http://host-1.org/menu-{each}"} for each in "ab"]
    return corpus.write(rows, tmp_path_factory.mktemp("repeated") / "a.jsonl"), rows


def run(spark, texts, out, *settings):
    lines = ("dedup.lines.min_documents=8", "dedup.lines.min_hosts=3", "dedup.substrings.min_words=50")
    made = dedup(spark, load(None, [f"input.paths=['{texts[0]}']", f"output.path={out}", *lines, *settings]))
    return made, {name: pq.read_table(out / name).to_pylist() for name in ("documents", "ledger", "cuts")}


def test_repeated_text_is_cut_and_accounted_for(spark, texts, tmp_path):
    made, found = run(spark, texts, tmp_path / "out")
    assert made.counts["kept"] == 12 and made.counts["dropped.dedup.repeated"] == 2
    assert sum(row["cluster_size"] for row in found["documents"]) == 12  # no copies but of the emptied one
    assert not any(MENU in row["text"] for row in found["documents"])
    assert [PASSAGE in row["text"] for row in found["documents"]].count(True) == 1
    assert made.facts["cuts"]["lines"] == {"documents": 11, "spans": 12, "characters": 12 * len(MENU)}
    assert made.facts["cuts"]["substrings"]["documents"] == 2
    original = {row["url"]: row["text"] for row in texts[1]}
    published = {row["id"]: row["text"] for row in found["documents"]}
    cut = {row["id"]: row["cut_characters"] for row in found["ledger"]}
    for row in found["cuts"]:
        text = original[row["url"]]
        spans = [(span["start"], span["end"]) for span in row["spans"]]
        assert row["characters"] == len(text)
        assert row["cut_characters"] == sum(end - start for start, end in spans) == cut[row["id"]]
        removed = sum(inked(text[start:end]) for start, end in spans)
        assert inked(published.get(row["id"], "")) == inked(text) - removed
    untouched = [row for row in found["documents"] if cut[row["id"]] is None]
    assert untouched and all(row["text"] == original[row["url"]] for row in untouched)


def test_report_shows_what_was_cut(spark, texts, tmp_path):
    run(spark, texts, tmp_path / "out", "dedup.max_cluster=2")
    page = LexborHTMLParser(Path(report(spark, load(None, [f"output.path={tmp_path / 'out'}"]))).read_text())
    table = page.css_first("#repeated ~ table")
    rows = [[cell.text() for cell in row.css("th, td")] for row in table.css("tbody tr")]
    assert rows[0] == ["lines, cut", "11", "12", str(12 * len(MENU))]
    assert rows[1][:2] == ["passages, cut", "2"]
    samples = [sample.text().split("\n") for sample in page.css("#repeated ~ details .sample")]
    assert any("12 ×" in " ".join(sample) and MENU in sample for sample in samples)


def inked(text):
    return len("".join(text.split()))


def test_emptied_documents_are_not_indexed(spark, texts, tmp_path):
    made, found = run(spark, texts, tmp_path / "out")
    index = add_run(
        spark, load(None, [f"output.path={tmp_path / 'out'}", f"dedup.index={tmp_path / 'index'}"])
    )
    signed = pq.read_table(tmp_path / "index" / index.facts["generations"][0]["folder"] / "signatures")
    assert set(signed["id"].to_pylist()) == {row["id"] for row in found["documents"]}
    assert index.counts["documents"] == made.counts["kept"] == signed.num_rows


def test_marked_passages_stay_in_the_texts(spark, texts, tmp_path):
    made, found = run(spark, texts, tmp_path / "out", "dedup.substrings.action=mark")
    assert sum(PASSAGE in row["text"] for row in found["documents"]) == 3
    assert not any(MENU in row["text"] for row in found["documents"])
    assert made.facts["cuts"]["substrings"]["documents"] == 2
    marked = [row for row in found["cuts"] if "substrings" in {span["reason"] for span in row["spans"]}]
    assert len(marked) == 2 and all(row["cut_characters"] < len(PASSAGE) for row in marked)


def test_corpus_depends_on_what_is_cut(spark, texts, tmp_path):
    one, _ = run(spark, texts, tmp_path / "one", "input.partitions=3")
    other, _ = run(spark, texts, tmp_path / "other")
    marked, _ = run(spark, texts, tmp_path / "marked", "dedup.substrings.action=mark")
    assert one.facts == other.facts and one.facts["corpus"] != marked.facts["corpus"]
    assert json.loads((tmp_path / "one" / "manifest.json").read_text())["facts"] == one.facts
