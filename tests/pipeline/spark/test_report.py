"""The report of a run shows the counts of its tables, and is rewritten only when they change."""

import json
import re
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from core import config, manifest
from core.config import Config
from core.errors import ManifestError
from core.manifest import Manifest
from jobs import dedup as job
from pipeline.ledger import RULES, Reason
from pipeline.reports.charts import number
from pipeline.spark.clean import clean
from pipeline.spark.dedup.signature_index import add_run
from pipeline.spark.dedup.stage import dedup
from pipeline.spark.report import report
from tests import small_crawl
from tests.pipeline.spark.dedup import corpus

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def cleaned(spark, tmp_path_factory) -> tuple[Config, Manifest]:
    folder = tmp_path_factory.mktemp("report")
    crawl = small_crawl.build(folder / "raw")
    settings = config.load(
        None, [f'input.paths=["{crawl.folder}"]', f"output.path={folder / 'out'}", "ledger.sample_share=1"]
    )
    return settings, clean(spark, settings)


def _page(path: str) -> LexborHTMLParser:
    return LexborHTMLParser(Path(path).read_text(encoding="utf-8"))


def _words(path: str) -> str:
    """Return the visible text of the page."""
    return " ".join(_page(path).body.text(separator=" ").split())


def test_page_shows_every_count_and_reason(spark, cleaned):
    settings, made = cleaned
    words = _words(report(spark, settings))
    for key, count in made.counts.items():
        if key.startswith("dropped."):
            reason = Reason(key.removeprefix("dropped."))
            assert f"{reason} Dropped, because {reason.meaning}." in words
            assert re.search(rf"{re.escape(f'{reason} {reason.meaning}')} {count} \d", words)
    for name in ("records_in", "kept", "quarantined"):
        assert re.search(rf"\b{made.counts[name]}\b", words)


def test_funnel_ends_with_the_kept_records(spark, cleaned):
    settings, made = cleaned
    rows = _page(report(spark, settings)).css(".steps tbody tr")
    left = [int(row.css_first(".left").text(deep=False)) for row in rows]
    assert (left[0], left[-1]) == (made.counts["records_in"], made.counts["kept"])
    assert left == sorted(left, reverse=True)


def test_page_shows_every_condition_with_its_threshold(spark, cleaned):
    settings, made = cleaned
    page = _page(report(spark, settings))
    for reason, threshold in made.config["filters"]["thresholds"].items():
        card = page.css_first(f"[id='{reason}']").text()
        assert f"{RULES[Reason(reason)][1]} {number(threshold)}" in card


def test_page_shows_samples_of_dropped_and_kept_records(spark, cleaned):
    settings, _ = cleaned
    dropped, kept = _page(report(spark, settings)).css("[id='gopher.few_words'] > details")
    assert small_crawl.SHORT[:40] in dropped.text()
    values = [int(value.text()) for value in kept.css(".value")]
    assert len(values) == 10
    assert values == sorted(values)
    assert values[0] >= 50


def test_page_shows_duplicates_with_the_survivor(spark, cleaned):
    settings, _ = cleaned
    shown = _page(report(spark, settings)).css("#copies ~ .cards .card")
    assert [card.css_first("h3").text() for card in shown] == [
        "The most duplicates: 2 documents",
        "The most, with near duplicates: 2 documents",
    ][: len(shown)]
    assert {len(card.css(".sample blockquote")) for card in shown} == {2}


def test_page_shows_languages_and_sites(spark, cleaned):
    settings, _ = cleaned
    words = _words(report(spark, settings))
    assert re.search(r"\ben \d+ \d", words)
    assert re.search(r"example\.com \d+ \d", words)  # the host of every URL in the crawl


def test_page_shows_the_duration_of_each_step(spark, cleaned):
    settings, _ = cleaned
    rows = _page(report(spark, settings)).css("#time ~ table tbody tr")[:3]
    titles = [row.css_first("th").text() for row in rows]
    assert titles[1:] == ["clean: finding copies", "clean: publishing documents, ledger, quarantine"]
    assert all(re.search(r"\d+(\.\d)? s$", row.css("td")[-1].text()) for row in rows)


def test_page_is_rewritten_only_after_a_change(spark, cleaned, capsys):
    settings, _ = cleaned
    path = Path(report(spark, settings))
    before = path.read_bytes()
    capsys.readouterr()
    report(spark, settings)
    assert capsys.readouterr().out == "report: already done\n"
    training = path.parent / "training"
    training.mkdir()
    lines = [{"step": step, "train/loss": 9 - step} for step in range(1, 4)]
    (training / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    bits = {"bits_per_byte": 1.875, "unigram_bits_per_byte": 2.5}
    (training / "validation.json").write_text(json.dumps({"sources": {"books": bits}}))
    words = _words(report(spark, settings))
    assert "1.875" in words
    assert path.read_bytes() != before


def test_unfinished_run_is_rejected(spark, tmp_path):
    settings = config.load(None, [f"output.path={tmp_path}"])
    with pytest.raises(ManifestError, match=manifest.NAME):
        report(spark, settings)
    assert not (tmp_path / "report.html").exists()


def _deduplicated(spark, tmp_path: Path, texts: list[str], *settings: str) -> tuple[Config, Manifest]:
    corpus.write([{"text": text} for text in texts], tmp_path / "in" / "a.jsonl")
    made = config.load(None, [f"input.paths=['{tmp_path}/in']", f"output.path={tmp_path}/out", *settings])
    return made, dedup(spark, made)


def test_texts_without_duplicates_have_a_report(spark, tmp_path, capsys):
    texts = [f"Accept all cookies\n{small_crawl.prose(seed)}" for seed in range(5)]
    settings, made = _deduplicated(spark, tmp_path, texts, "dedup.lines.min_documents=4")
    assert made.counts["dropped"] == 0
    capsys.readouterr()
    job.show(made)
    assert "dedup: 5 repeated lines, 90 characters in 5 documents, were cut" in capsys.readouterr().out
    words = _words(report(spark, settings))
    assert "Of the texts in the input, 5 (100 %) were kept" in words.replace("( ", "(").replace(" )", ")")
    assert "lines, cut 5 5 90" in words
    assert "5 × Accept all cookies" in words


def test_survivors_of_an_earlier_run_are_shown_without_text(spark, tmp_path):
    texts = [small_crawl.prose(seed) for seed in range(3)]
    first, _ = _deduplicated(spark, tmp_path / "first", texts)
    index = f"dedup.index={tmp_path / 'index'}"
    add_run(spark, config.load(None, [f"output.path={first.output.path}", index]))
    settings, made = _deduplicated(spark, tmp_path / "second", [*texts[1:], small_crawl.prose(9)], index)
    assert made.counts["dropped.dedup.exact"] == 2
    page = _page(report(spark, settings))
    survivor, duplicate = page.css("#copies ~ .cards .card .sample")[:2]
    assert survivor.css_first("blockquote") is None
    assert duplicate.css_first("blockquote") is not None
    assert page.css_first("#copies ~ .cards .role").text().startswith("Kept by an earlier run")


def test_run_decided_about_again_is_reported_with_the_filters_of_the_first_one(spark, cleaned, tmp_path):
    first, made = cleaned
    again = config.load(
        None, [f"dedup.run={first.output.path}", f"output.path={tmp_path}/out", "dedup.near=false"]
    )
    dedup(spark, again)
    page = _page(report(spark, again))
    words = " ".join(page.body.text(separator=" ").split())
    assert f"by the preset {made.config['filters']['preset']} ." in words
    assert "Filters and samples" in words
    assert page.css_first("[id='gopher.few_words']") is not None


def test_emptied_documents_are_not_shown_as_kept(spark, tmp_path):
    texts = ["one line\nanother", "one line\nanother", "another\none line", small_crawl.prose(1)]
    settings, made = _deduplicated(spark, tmp_path, texts, "dedup.near=false", "dedup.lines.min_documents=2")
    assert made.counts["dropped.dedup.repeated"] == 3
    page = _page(report(spark, settings))
    assert page.css_first("#copies") is None
    assert len(page.css("[id='dedup.repeated'] .sample")) == 3
