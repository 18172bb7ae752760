"""Decisions from stored metrics, and which of them are uncertain."""

import pytest

from core.config import FiltersConfig
from pipeline import document
from pipeline.filters.recipe import build_recipe
from pipeline.filters.rethreshold import COLUMNS, decide

EMPTY = dict.fromkeys(COLUMNS)
METRICS = dict.fromkeys(document.METRICS)
ADDRESS = METRICS | {"url_word": 1.0}
ENGLISH = {"language": "en", "language_score": 0.9}
LIMITS = {"gopher.few_words": 50, "toxicity.score": 0.5}


@pytest.mark.parametrize("thresholds", [{}, {"url.word": 0}], ids=["any address", "no listed words"])
@pytest.mark.parametrize("previous", ["read.revisit", "url.word", "extract.empty"])
def test_records_without_text_stay_dropped(previous, thresholds):
    record = EMPTY | {"reason": previous, "metrics": None if previous == "read.revisit" else ADDRESS}
    decision = decide(record, build_recipe(FiltersConfig(preset="none", thresholds=LIMITS | thresholds)))
    if previous == "read.revisit":
        assert decision == (previous, None)
    elif thresholds:
        assert decision == ("url.word", None)
    else:
        assert decision == (previous, "url.word" if previous == "url.word" else None)


@pytest.mark.parametrize(
    ("metrics", "keys", "expected"),
    [
        ({"gopher_words": 9.0}, [1], ("gopher.few_words", None)),
        ({"gopher_words": 100.0}, [1], (None, "toxicity.score")),
        ({"gopher_words": 100.0, "toxicity": 0.1}, None, (None, "dedup.near")),
        ({"gopher_words": 100.0, "toxicity": 0.1}, [1], (None, None)),
    ],
)
def test_missing_metrics_make_a_decision_uncertain(metrics, keys, expected):
    record = EMPTY | ENGLISH | {"reason": "gopher.few_words", "metrics": METRICS | metrics, "keys": keys}
    assert decide(record, build_recipe(FiltersConfig(preset="none", thresholds=LIMITS))) == expected


def test_contaminated_texts_are_dropped_if_no_filter_drops_them():
    recipe = build_recipe(FiltersConfig(preset="none", thresholds={"gopher.few_words": 50}))
    found = {"hits": 3, "drops": True, "removed_characters": 0, "matches": []}
    record = EMPTY | ENGLISH | {"metrics": METRICS | {"gopher_words": 100.0}, "keys": [1]}
    assert decide(record | {"contamination": found}, recipe) == ("contamination.ngram", None)
    assert decide(record | {"contamination": found | {"drops": False}}, recipe) == (None, None)
    short = record | {"metrics": METRICS | {"gopher_words": 9.0}, "contamination": found}
    assert decide(short, recipe) == ("gopher.few_words", None)


def test_language_is_only_checked_where_it_was_identified():
    english = build_recipe(FiltersConfig(preset="none", languages=("en",)))
    assert decide(EMPTY | {"reason": "extract.empty"}, english) == ("extract.empty", None)
    german = EMPTY | ENGLISH | {"language": "de", "metrics": METRICS, "keys": [1]}
    assert decide(german, english) == ("language.unwanted", None)
