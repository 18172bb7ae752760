"""Compare with datatrove's filters, which find words with spaCy."""

from collections import Counter
from itertools import pairwise

from datatrove.data import Document
from datatrove.pipeline.filters import gopher_quality_filter, gopher_repetition_filter
from datatrove.utils.text import split_into_words
from hypothesis import assume, given
from hypothesis import strategies as st

from benchmarks.parity import REASONS
from core.config import FiltersConfig
from pipeline.analysis import analyse, analyse_together
from pipeline.filters import FilterPipeline
from pipeline.filters.heuristics import gopher

PARTS = [
    "the ",
    "be ",
    "to ",
    "Of ",
    "a ",
    "b ",
    "word ",
    "12 ",
    "# ",
    "... ",
    "…\n",
    ". ",
    "- ",
    "\n",
    "\n\n",
]
TEXTS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=120).map("".join)


def is_ambiguous(text: str) -> bool:
    """True if different n-grams are the same characters. datatrove compares these, and we the words."""
    words = split_into_words(text)
    ngrams = {tuple(words[i : i + n]) for n in range(5, 11) for i in range(len(words) - n + 1)}
    return len({(len(each), "".join(each)) for each in ngrams}) < len(ngrams)


REPETITION = [reason for reason in REASONS.values() if reason.startswith(("gopher.duplicate", "gopher.top"))]


@given(TEXTS)
def test_repetition_counts_as_datatrove(text: str) -> None:
    assume(not is_ambiguous(text))
    metrics, words, characters = gopher.repetition(analyse(text)), split_into_words(text), len(text)
    for n in range(2, 5):
        ngrams = gopher_repetition_filter.get_n_grams(words, n)
        expected = gopher_repetition_filter.find_top_duplicate(ngrams) if ngrams else 0
        assert metrics[f"gopher_top_{n}_gram"] == min(expected / characters, 1)
    for n in range(5, 11):
        expected = gopher_repetition_filter.find_all_duplicate(words, n)
        assert metrics[f"gopher_duplicate_{n}_grams"] == min(expected / characters, 1)


def test_different_words_are_no_repetition():
    text = ". ... ... ... ... . "
    assert is_ambiguous(text)
    assert gopher_repetition_filter.find_all_duplicate(split_into_words(text), 5) > 0
    assert gopher.repetition(analyse(text))["gopher_duplicate_5_grams"] == 0


@given(TEXTS)
def test_repetition_decides_as_datatrove(text: str) -> None:
    assume(not is_ambiguous(text))
    decision = gopher_repetition_filter.GopherRepetitionFilter().filter(Document(text=text, id=""))
    result = FilterPipeline(FiltersConfig(preset="gopher")).filter_text(text)
    if decision is True:
        assert result.drop is None or result.drop.reason not in REPETITION
    else:
        assert result.drop and result.drop.reason == REASONS[decision[1]]


@given(TEXTS.filter(lambda text: any(map(str.isalnum, text))), st.sampled_from([1, 30]))
def test_quality_decides_as_datatrove(text: str, times: int) -> None:
    text *= times
    decision = gopher_quality_filter.GopherQualityFilter().filter(Document(text=text, id=""))
    lenient = dict.fromkeys(REPETITION, float("inf"))
    result = FilterPipeline(FiltersConfig(preset="gopher", thresholds=lenient)).filter_text(text)
    assert (result.drop and result.drop.reason) == (None if decision is True else REASONS[decision[1]])


@given(st.lists(st.sampled_from("abc"), max_size=40))
def test_top_bigram_matches_a_naive_count(words: list[str]) -> None:
    text = " ".join(words)
    bigrams = Counter(pairwise(words))
    best = max(bigrams.values(), default=0)
    assert gopher.repetition(analyse(text))["gopher_top_2_gram"] == min(3 * best / max(len(text), 1), 1)


def test_metrics_of_empty_text_are_zero() -> None:
    analysis = analyse("")
    metrics = gopher.quality(analysis) | gopher.repetition(analysis)
    assert {values.tolist()[0] for values in metrics.values()} == {0}


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_texts_measured_together_are_as_alone(texts: list[str]) -> None:
    together = analyse_together(texts)
    columns = gopher.quality(together) | gopher.repetition(together)
    for index, text in enumerate(texts):
        alone = analyse(text)
        found = {name: values[index] for name, values in columns.items()}
        assert found == gopher.quality(alone) | gopher.repetition(alone)


def test_short_lines_of_many_texts_are_not_confused() -> None:
    """Every line of one character occurs in all texts, but once in each."""
    texts = ["\n".join(map(chr, range(0x21, 0x7F)))] * 200
    metrics = gopher.repetition(analyse_together(texts))
    assert not metrics["gopher_duplicate_lines"].any()
    assert not metrics["gopher_duplicate_5_grams"].any()
