"""Matching equals a plain reference over sets of word tuples; planted items are found in any disguise."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import DecontaminationConfig
from pipeline.analysis.normalized import normalized_words
from pipeline.decontamination import Contamination, Decontaminator, EvaluationSet, Item, ItemMatch, build, cut
from pipeline.decontamination.matching import MAX_MATCHES, MAX_PASSAGE, merged
from pipeline.ledger import Drop, Reason

QUESTION = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
SHORT = "How do I ready a guinea pig cage for it's new occupants?"
PROSE = (
    "The miller went down to the river in the morning, for the wheel had stopped and nobody knew why. "
    "He found the sluice choked with leaves, and cleared it with his hands before the sun was high."
)


def _decontaminator(*texts, **settings):
    sets = [EvaluationSet("set", "set.jsonl", "0", [Item(n, (each,)) for n, each in enumerate(texts, 1)], 0)]
    config = DecontaminationConfig(**settings)
    return Decontaminator(build(sets, config.ngrams), config)


def _check(decontaminator, text):
    (found,) = decontaminator.check([text], normalized_words([text]))
    return found


@pytest.mark.parametrize("item", [QUESTION, SHORT])
@pytest.mark.parametrize(
    "disguise",
    [
        str,
        str.upper,
        str.title,
        lambda text: text.replace(",", " —").replace(".", "!").replace("?", "…").replace("'", "’"),
        lambda text: text.replace(" ", "\n\n"),
        lambda text: "\n\n> ".join(text.split(" ", 6)),
        lambda text: text.replace("e", "é"),
        lambda text: text.replace("48", "1,250"),
    ],
)
def test_planted_items_are_found(item, disguise):
    text = f"{PROSE}\n{disguise(item)}\n{PROSE}"
    found = _check(_decontaminator("Another item.", QUESTION, SHORT), text)
    assert found
    assert [match.item for match in found.matches] == [2 if item == QUESTION else 3]
    assert [text[start:end] for start, end in found.spans] == [disguise(item).rstrip("?…")]
    assert disguise(item).startswith(found.matches[0].passage)


def test_other_texts_contain_nothing():
    decontaminator = _decontaminator(QUESTION, SHORT)
    texts = ["", PROSE, " ".join(QUESTION.split()[:12]), " ".join(SHORT.split()[:7])]
    assert decontaminator.check(texts, normalized_words(texts)) == [None] * 4
    assert decontaminator.check([], normalized_words([])) == []


def test_different_ngrams_count_once():
    found = _check(_decontaminator(QUESTION), f"{QUESTION} {PROSE} {QUESTION}")
    words = len(normalized_words([QUESTION]).hashes)
    assert found.hits == found.matches[0].hits == words - 12
    assert len(found.spans) == 2


def test_min_hits_counts_ngrams_of_one_item():
    part = " ".join(QUESTION.split()[:15])  # 3 n-grams of 13 words
    assert _check(_decontaminator(QUESTION, min_hits=3), part)
    assert not _check(_decontaminator(QUESTION, min_hits=4), part)
    # An item with fewer n-grams must be there with all of them.
    assert _check(_decontaminator(part, min_hits=4), QUESTION)
    assert not _check(_decontaminator(part, min_hits=4), " ".join(part.split()[:14]))


def test_items_that_are_not_contained_have_no_spans():
    decontaminator = _decontaminator(QUESTION, PROSE, min_hits=3)
    found = _check(decontaminator, f"{' '.join(PROSE.split()[:13])} | {QUESTION}")
    assert [match.item for match in found.matches] == [1]
    assert len(found.spans) == 1
    assert found.hits == found.matches[0].hits


def test_items_are_ranked_by_hits_and_bounded():
    items = [f"{' '.join(QUESTION.split()[:13])} {number}{chr(97 + number % 26)}" for number in range(90)]
    found = _check(_decontaminator(*items, QUESTION), QUESTION)
    assert [match.item for match in found.matches] == [91, *range(1, 91)]
    assert [match.hits for match in found.matches][:2] == [found.hits, 1]
    assert len(found.matches) <= MAX_MATCHES
    assert all(len(match.passage) <= MAX_PASSAGE for match in found.matches)


def test_passages_are_those_of_the_item():
    text = f"{SHORT} {PROSE} {QUESTION}"
    found = _check(_decontaminator(QUESTION, SHORT), text)
    assert {match.item: match.passage for match in found.matches} == {1: QUESTION[:-1], 2: SHORT[:-1]}


def test_results_do_not_depend_on_the_batch():
    decontaminator = _decontaminator(QUESTION, SHORT, PROSE)
    texts = [PROSE, "", SHORT, f"{SHORT} {QUESTION}", "x", QUESTION]
    alone = [_check(decontaminator, each) for each in texts]
    assert decontaminator.check(texts, normalized_words(texts)) == alone


LETTERS = st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join)


@given(st.lists(LETTERS, max_size=5), st.lists(LETTERS, max_size=5), st.integers(1, 3))
def test_matching_equals_a_plain_reference(items, texts, min_hits):
    decontaminator = _decontaminator(*items, ngrams=(5, 3), min_hits=min_hits)
    for text, found in zip(texts, decontaminator.check(texts, normalized_words(texts)), strict=True):
        expected = {}
        for number, item in enumerate(items, 1):
            n = 5 if len(item.split()) >= 5 else 3
            wanted = {each for each in _ngrams(item, n) if len(set(each)) * 2 >= n}
            hits = wanted & _ngrams(text, n)
            if len(hits) >= min(min_hits, len(wanted)) > 0:
                expected[number] = hits
        assert {match.item: match.hits for match in (found.matches if found else ())} == {
            number: len(hits) for number, hits in expected.items()
        }
        if found:
            all_hits = set().union(*expected.values())
            assert found.hits == len(all_hits)
            assert _covered(found.spans) == _covered_by(text, all_hits)


def _ngrams(text, n):
    words = text.split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def _covered(spans):
    return {position for start, end in spans for position in range(start // 2, (end + 1) // 2)}


def _covered_by(text, ngrams):
    words = text.split()
    return {
        position
        for n in (3, 5)
        for start in range(len(words) - n + 1)
        if tuple(words[start : start + n]) in ngrams
        for position in range(start, start + n)
    }


def test_decisions():
    found = Contamination((ItemMatch("set", 1, 3, ""),), 3, [(6, 11)])
    text = "Begin right middle end."
    actions = ("drop", "cut", "mark")
    dropping, cutting, marking = (_decontaminator(QUESTION, action=each, margin=0) for each in actions)
    assert dropping.decide(text, found) == Drop(Reason.CONTAMINATION, 3)
    assert cutting.decide(text, found) == "Begin\n\nmiddle end."
    assert cutting.decide("Begin right.", Contamination((), 3, [(0, 12)])) == Drop(Reason.CONTAMINATION, 3)
    assert marking.decide(text, found) == text


def test_cuts_extend_to_the_ends_of_words():
    text = "One two three four, five six seven eight."
    four = text.index("four"), text.index("four") + 4
    assert cut(text, [four], 0) == "One two three\n\nfive six seven eight."
    assert cut(text, [four], 3) == "One two\n\nsix seven eight."
    assert cut(text, [four], 7) == "One\n\nseven eight."
    assert cut(text, [four], 100) == ""
    assert cut(text, [], 5) == text


def test_what_remains_without_words_is_removed():
    assert cut("Yes! (planted words) … and more", [(6, 19)], 0) == "Yes!\n\n… and more"
    assert cut("*** planted words. ***", [(4, 17)], 0) == ""


def test_overlapping_margins_are_one_cut():
    assert cut("a b c d e f g h", [(4, 5), (8, 9)], 2) == "a\n\ng h"


def test_letters_of_scripts_without_spaces_are_cut_where_the_margin_ends():
    text = "水" * 300
    assert cut(text, [(140, 150)], 10) == f"{'水' * 130}\n\n{'水' * 140}"


SPANS = st.lists(st.tuples(st.integers(0, 59), st.integers(1, 9)), max_size=9).map(
    lambda pairs: sorted((start, start + size) for start, size in pairs)
)


@given(st.text("ab .水\n", max_size=60), SPANS, st.integers(0, 9))
def test_a_cut_removes_at_least_its_spans(text, spans, margin):
    spans = [(start, min(end, len(text))) for start, end in spans if start < len(text)]
    removed = sum(end - start for start, end in merged(spans))
    rest = cut(text, spans, margin)
    assert len(rest.replace("\n\n", "")) <= len(text) - removed
    assert not rest or any(map(str.isalnum, rest))


@given(SPANS)
def test_merged_spans_cover_the_same_and_do_not_touch(spans):
    found = list(merged(spans))
    covered = [{i for start, end in each for i in range(start, end)} for each in (found, spans)]
    assert covered[0] == covered[1]
    assert all(end < start for (_, end), (start, _) in pairwise(found))
