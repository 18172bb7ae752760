from core.resources import read_text
from pipeline.filters.toxicity import word_lists
from pipeline.filters.toxicity.categories import Category
from pipeline.training.toxicity.weights import (
    HEADER,
    WEIGHTED_HARMLESS,
    by_weight,
    fit_weights,
    lower_case_words,
)


def test_weights_are_rounded_and_sorted() -> None:
    weights = {"fool": 3.4, "ass": 2.6, "thanks": -1.5, "idle": 0.9, "women": 4.0, "слово": 5.0}
    assert by_weight(weights, 1, {"women"}) == {3: ["ass", "fool"], -2: ["thanks"]}


def test_names_are_not_lower_case_words() -> None:
    assert lower_case_words(["Warner saw the light", "Light was seen by Warner"]) == {
        "saw",
        "the",
        "light",
        "was",
        "seen",
        "by",
    }


def test_words_of_toxic_texts_have_positive_weights() -> None:
    rows = [("you fool", True), ("you friend", False)] * 20
    weights = fit_weights(rows)
    assert weights["fool"] > 0 > weights["friend"]


def test_shipped_weights_have_the_header_and_exclude_groups_and_harmless_words() -> None:
    text = read_text("pipeline.filters.toxicity", "data/word_weights.txt")
    assert text.startswith(HEADER)
    lists = word_lists.load()
    excluded = (lists.harmless - WEIGHTED_HARMLESS) | lists.by_category[Category.GROUP]["en"]
    for line in text.removeprefix(HEADER).splitlines():
        key, _, words = line.partition(":")
        assert key.split()[0] != "en" or excluded.isdisjoint(words.split())
