import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.normalized import normalized_words
from pipeline.decontamination import EvaluationSet, Item, build
from pipeline.decontamination.index import MAX_ITEMS, _distinct_words

SENTENCE = "The quick brown fox jumps over the lazy dog while seven old judges watch it."


def _set(*texts, name="set"):
    items = [Item(line, (text,) if isinstance(text, str) else text) for line, text in enumerate(texts, 1)]
    return EvaluationSet(name, f"/{name}.jsonl", "0", items, 0)


def _words(number, start=0):
    return " ".join(f"word{chr(97 + i % 26)}{'xyz'[i // 26]}" for i in range(start, start + number))


def test_texts_have_ngrams_of_the_largest_size_that_they_are_long_enough_for():
    index = build([_set(_words(15), _words(13, 15), _words(12, 28), _words(8, 40), _words(7, 50))], (13, 8))
    assert [len(table.hashes) for table in index.tables] == [3 + 1, 5 + 1]
    assert index.ngrams_of_item.tolist() == [3, 1, 5, 1, 0]
    (summary,) = index.sets
    assert (summary.items, summary.short_texts, summary.too_short, summary.unspecific) == (5, 1, 1, 0)


def test_an_item_is_too_short_if_all_its_texts_are():
    index = build([_set((_words(13), "yes"), ("no", "yes"), "no")], (13, 8))
    assert (index.sets[0].short_texts, index.sets[0].too_short) == (4, 2)


def test_repetitive_ngrams_are_left_out():
    calculation = "12 + 15 = 27, 27 * 2 = 54, 54 - 4 = 50, 50 / 5 = 10, 1 + 2 + 3 = 6 apples in all"
    index = build([_set(calculation, "la " * 20, SENTENCE)], (13, 8))
    assert index.ngrams_of_item.tolist()[:2] == [0, 0]
    assert index.ngrams_of_item[2] == 3
    assert index.sets[0].unspecific == 2


def test_templates_are_left_out():
    question = "Which of the following answers to the question is right and why do you think so"
    letters = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiouwxyzvr"]
    many = [f"{question} {' '.join(f'{letter}{chr(97 + i)}' for i in range(13))}" for letter in letters]
    assert len(many) > MAX_ITEMS
    index = build([_set(*many, question)], (13,))
    # 16 + 13 words: 17 n-grams, of which the 4 within the question are left out.
    assert set(index.ngrams_of_item[:-1].tolist()) == {13}
    assert index.ngrams_of_item[-1] == 0
    assert index.sets[0].unspecific == 1
    few = build([_set(*many[: MAX_ITEMS - 1], question)], (13,))
    assert few.ngrams_of_item.tolist() == [17] * (MAX_ITEMS - 1) + [4]


def test_items_are_numbered_through_all_sets():
    index = build([_set(SENTENCE, _words(13)), _set(SENTENCE, name="other")], (13, 8))
    assert index.set_of_item.tolist() == [0, 0, 1]
    assert index.line_of_item.tolist() == [1, 2, 1]
    # n-grams of both sets are stored once.
    assert len(index.tables[0].hashes) == 3 + 1
    assert sorted(np.diff(index.offsets).tolist()) == [1, 2, 2, 2]
    assert index.offsets[-1] == len(index.items) == index.ngrams_of_item.sum() == 7


def test_content_depends_on_names_and_checksums():
    contents = {
        build([each], (8,)).content
        for each in (_set(SENTENCE), _set(SENTENCE, name="b"), EvaluationSet("set", "", "1", [], 0))
    }
    assert len(contents) == 3
    assert build([_set(SENTENCE)], (13,)).content in contents


def test_a_copy_finds_the_same():
    words = normalized_words(["", SENTENCE.upper(), "Nothing."])
    index = build([_set(SENTENCE)], (13, 8))
    for each in (index, pickle.loads(pickle.dumps(index))):
        found, positions = each.tables[0].find(words)
        assert sorted(found.tolist()) == [0, 1, 2]
        assert positions.tolist() == [0, 1, 2]
        assert each.tables[1].find(words)[0].tolist() == []


def test_ngrams_do_not_cross_texts():
    parts = SENTENCE.split(" ", 9)
    halves = [" ".join(parts[:9]), parts[9]]
    index = build([_set(SENTENCE)], (13, 8))
    assert index.tables[0].find(normalized_words([" ".join(halves)]))[1].tolist() == [0, 1, 2]
    assert index.tables[0].find(normalized_words(halves))[1].tolist() == []


def test_the_last_hash_is_found():
    index = build([_set(SENTENCE)], (13,))
    found, _ = index.tables[0].find(normalized_words([SENTENCE] * 3))
    assert sorted(found.tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 9))
def test_distinct_words_are_counted_per_ngram(words, n):
    found = _distinct_words(np.array(words, np.uint64), n).tolist()
    assert found == [len(set(words[i : i + n])) for i in range(len(words) - n + 1)]
