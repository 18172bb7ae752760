import doctest
from importlib import resources
from itertools import permutations

import fasttext

from pipeline.filters import toxicity
from pipeline.filters.classifier.model import split_words
from pipeline.filters.toxicity import categories, lexicon
from pipeline.filters.toxicity.categories import OFFENSIVE, Category, token


def test_features_are_categories_and_close_pairs_and_equal_in_all_languages() -> None:
    english, french = (
        lexicon.load().features(split_words(text), language)
        for text, language in (("i hate women", "en"), ("je déteste les femmes", "fr"))
    )
    assert set(english) == set(french)
    far = lexicon.load().features(split_words("hate " + "x " * 20 + "women"), "en")
    assert set(far) < set(english)


def test_word_is_not_offensive_in_a_language_where_it_is_common_and_harmless() -> None:
    shipped = lexicon.load()
    german, english = split_words("die Katze ist hier"), split_words("they should all die")
    assert shipped.guess_language(german) == "de"
    assert shipped.features(german, "de") == []
    assert shipped.features(english, shipped.guess_language(english)) != []


def test_words_are_found_in_unspaced_text() -> None:
    assert lexicon.load().features(split_words("我讨厌下雨"), "") != []
    assert lexicon.load().features(split_words("今天天气很好"), "") == []


def test_tokens_are_distinct_and_in_the_vocabulary_of_the_shipped_model() -> None:
    pairs = [pair for pair in permutations(Category, 2) if not OFFENSIVE.isdisjoint(pair)]
    tokens = {token(*each) for each in [*((category,) for category in Category), *pairs]}
    assert len(tokens) == len(Category) + len(pairs)
    with resources.as_file(resources.files("pipeline.filters.toxicity").joinpath(toxicity.MODEL)) as path:
        vocabulary = set(fasttext.load_model(str(path)).get_words())
    assert {word for word in vocabulary if word[0] == token(Category.GROUP)[0]} <= tokens
    assert {token(category) for category in Category} <= vocabulary


def test_examples_in_docstrings_are_correct() -> None:
    for module in (categories, lexicon):
        tried = doctest.testmod(module)
        assert tried.attempted and not tried.failed
