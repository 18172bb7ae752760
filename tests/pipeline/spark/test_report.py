"""The report of a run: drawn from the tables, up to date, and telling what they tell."""

import html
import json
import re
from pathlib import Path

import pytest

from pipeline import config, manifest
from pipeline.config import Config
from pipeline.errors import ManifestError
from pipeline.ledger import RULES
from pipeline.manifest import Manifest
from pipeline.spark.clean import clean
from pipeline.spark.report import report
from tests import small_crawl

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def cleaned(spark, tmp_path_factory) -> tuple[Config, Manifest]:
    folder = tmp_path_factory.mktemp("report")
    crawl = small_crawl.build(folder / "raw")
    settings = config.load(
        None, [f'input.paths=["{crawl.folder}"]', f"output.path={folder / 'out'}", "ledger.sample_share=1"]
    )
    return settings, clean(spark, settings)


def _words(path: str) -> str:
    """The page as a reader sees it."""
    page = Path(path).read_text(encoding="utf-8")
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_the_page_tells_every_count_and_reason(spark, cleaned):
    settings, made = cleaned
    words = _words(report(spark, settings))
    for key, count in made.counts.items():
        if key.startswith("dropped."):
            assert re.search(rf"{re.escape(key.removeprefix('dropped.'))}\D+{count}\b", words)
    for name in ("records_in", "kept", "quarantined"):
        assert re.search(rf"\b{made.counts[name]}\b", words)
    assert small_crawl.SHORT[:40] in words  # a sample of what was dropped


def test_a_metric_is_drawn_with_the_condition_that_looks_at_it(spark, cleaned):
    settings, made = cleaned
    words = _words(report(spark, settings))
    for reason in made.config["filters"]["thresholds"]:
        assert reason in words
    assert {metric for metric, _ in RULES.values()} & set(words.split())


def test_it_needs_nothing_from_outside(spark, cleaned):
    settings, _ = cleaned
    page = Path(report(spark, settings)).read_text(encoding="utf-8")
    assert not re.search(r"<script|<iframe|\bsrc\s*=|href=\"(?!https?://|data:,)|@import|url\(", page)


def test_it_stays_until_something_is_new(spark, cleaned, capsys):
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


def test_an_unfinished_run_is_refused(spark, tmp_path):
    settings = config.load(None, [f"output.path={tmp_path}"])
    with pytest.raises(ManifestError, match=manifest.NAME):
        report(spark, settings)
    assert not (tmp_path / "report.html").exists()
