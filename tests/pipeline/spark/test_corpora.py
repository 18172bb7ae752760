import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.dataset as ds
import pytest

from core.config import Config, load
from core.errors import ConfigError, InputError
from jobs import train_classifier
from pipeline.filters.classifier.model import QUALITY_CHARACTERS, prepare
from pipeline.spark.clean import clean
from pipeline.spark.corpora import corpora, examples, sample
from tests import small_crawl

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def crawl(tmp_path_factory):
    return small_crawl.build(tmp_path_factory.mktemp("corpora") / "raw").folder


@pytest.fixture(scope="module")
def run(spark, crawl, tmp_path_factory):
    """A run of the pipeline that keeps every document."""
    out = tmp_path_factory.mktemp("run") / "out"
    keep = ("filters.preset=none", "dedup.exact=false", "dedup.near=false")
    clean(spark, load(None, [f'input.paths=["{crawl}"]', f"output.path={out}", *keep]))
    return out


def _config(positive: Path, *overrides: str) -> Config:
    return load(None, [f'classifier.positive.paths=["{positive}"]', *overrides])


def test_sample_has_the_lowest_ids_and_is_equal_for_a_run_and_its_raw_files(spark, crawl, run):
    documents = ds.dataset(run / "documents", partitioning="hive").to_table().to_pylist()
    expected = sorted((row["id"], prepare(row["text"][:QUALITY_CHARACTERS])) for row in documents)
    for count in (5, 1000):
        for path in (run, crawl):
            config = _config(path, f"classifier.rows_per_class={count}")
            rows = sample(spark, config, config.classifier.positive)
            assert [(row["id"], row["text"]) for row in rows] == expected[:count]
            assert all(len(row["keys"]) == 14 and row["language"] == "en" for row in rows)


def test_only_configured_sources_are_sampled(spark, crawl, run):
    for path in (run, crawl):
        config = _config(path, 'classifier.positive.sources=["wikipedia", "books"]')
        rows = sample(spark, config, config.classifier.positive)
        assert {row["source"] for row in rows} == {"wikipedia", "books"}


def test_near_duplicates_share_keys_and_small_sites_are_groups(spark, run):
    config = _config(run)
    rows = sample(spark, config, config.classifier.positive)
    for row in rows[::2]:
        if urlsplit(row["url"] or "").hostname == "example.com":
            row["url"] = f"http://www.site{len(row['text']) % 9}.example/"
    found = {each.url or each.text: each for each in examples(rows, 1 / 3, positive=True)}
    for row in rows:
        example = found[row["url"] or row["text"]]
        assert example.positive and example.language == "en"
        site = re.match(r"http://www\.(site\d\.example)/", row["url"] or "")
        if site:
            assert example.group == site[1]
    alone = [each.group for each in found.values() if "https://example.com" in each.url]
    assert len(set(alone)) == len(alone) > 1
    book = [row["id"] for row in rows if row["source"] == "books"]
    assert {each.group for each in examples(rows, 1, positive=True) if each.source == "books"} != set(book)
    keys = [frozenset(row["keys"]) for row in rows]
    assert any(one & other for index, one in enumerate(keys) for other in keys[:index])


def test_classifier_is_trained_on_two_corpora(spark, tmp_path, capsys):
    for name, seeds in (("good", range(60)), ("bad", range(60, 130))):
        word = "".join(reversed(name))
        lines = (
            {"content": f"{word} {small_crawl.prose(seed, 8)}", "url": f"https://{seed}.example/"}
            for seed in seeds
        )
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {
        "input.columns.text": "content",
        "output.path": tmp_path / "out",
        "classifier.positive.paths": f'["{tmp_path}/good.jsonl"]',
        "classifier.negative.paths": f'["{tmp_path}/bad.jsonl"]',
        "classifier.held_out_fraction": 0.3,
        "classifier.buckets": 10_000,
        "classifier.dimension": 8,
        "classifier.epochs": 20,
    }
    arguments = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    train_classifier.main(arguments)
    printed = capsys.readouterr().out
    assert re.search(r"^both corpora +\d+ +\d+ +\S+ +\S+ +\S+ +[01]\.\d+ ", printed, re.MULTILINE)
    assert f"--set filters.quality_model={tmp_path}/out/classifier/model.ftz" in printed
    assert re.search(r"""--set 'filters\.thresholds=\{"quality\.score" = 0\.\d+\}'""", printed)
    train_classifier.main(arguments)
    again = capsys.readouterr().out
    assert "reading" in printed and "reading" not in again
    assert again == printed[printed.index("part ") :]


def test_missing_or_empty_corpora_are_rejected(run, tmp_path):
    def attempt(*overrides: str) -> None:
        corpora(load(None, [f"output.path={tmp_path}/out", *overrides]))

    good = f'classifier.positive.paths=["{run}"]'
    with pytest.raises(ConfigError, match=r"classifier\.negative\.paths is empty"):
        attempt(good)
    with pytest.raises(InputError, match="nothing there"):
        attempt(good, f'classifier.negative.paths=["{tmp_path}/absent"]')
    with pytest.raises(InputError, match="has no documents of poems, only of books, commoncrawl"):
        attempt(good, f'classifier.negative.paths=["{run}"]', 'classifier.negative.sources=["poems"]')
    assert corpora(Config()) is None and not (tmp_path / "out").exists()
