import pytest

from core.resources import read_toml
from pipeline.analysis import analyse
from pipeline.filters import recipe
from pipeline.filters.heuristics import stop_words

LISTS = read_toml("pipeline.filters.heuristics", "stop_words.toml")


@pytest.mark.parametrize(
    ("text", "language", "number"),
    [
        ("Und der Hund, und DER Kater", "de", 2),
        ("The dog and the cat", "de", 0),
        ("The dog and the cat of it", "en", 3),
        ("ประวัติศาสตร์ของประเทศไทยและภาษา", "th", 2),
        ("他是一个人", "zh", 3),
        ("", "en", 0),
    ],
)
def test_count_distinct(text: str, language: str, number: int) -> None:
    assert stop_words.count_distinct(analyse(text).word_hashes, language) == {"language_stop_words": number}


def test_language_without_a_list_has_no_metric() -> None:
    assert stop_words.count_distinct(analyse("ko te reo").word_hashes, "mi") == {}


def test_every_language_with_thresholds_has_a_list() -> None:
    rows = recipe._load_preset("multilingual").by_language.rows
    assert len(rows) > 40 and set(rows) <= set(LISTS)
    assert all(len(set(words.split())) >= 8 for words in LISTS.values())
