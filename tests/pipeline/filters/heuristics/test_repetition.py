"""Compare Dolma's and DCLM's variants of Gopher's metrics with naive implementations."""

import re
from collections import Counter
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import analyse
from pipeline.filters.heuristics import dclm, dolma
from pipeline.filters.heuristics.gopher import STOP_WORDS

PARTS = ["the ", "Of ", "a ", "bb ", "12 ", "#x ", "... ", "…\n", ". ", "- ", "* ", "\n", "\n\n", "  "]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=80).map("".join)


def ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]


def characters(words: tuple[str, ...] | list[str]) -> int:
    return sum(map(len, words))


def repeated_items(items: list[str]) -> list[str]:
    counts = Counter(items)
    return [item for item in items if counts[item] > 1]


@given(TEXTS)
def test_dolma(text: str) -> None:
    words, lines = text.split(), text.split("\n")
    found, count, size = dolma.measure(text), len(words) or 1, characters(words) or 1
    assert found["gopher_words"] == len(words)
    assert found["gopher_mean_word_length"] == (median(map(len, words)) if words else 0)
    assert found["gopher_symbols_per_word"] == sum("#" in word or "…" in word for word in words) / count
    assert (
        found["gopher_alphabetic_words"] == sum(bool(re.search("[a-zA-Z]", word)) for word in words) / count
    )
    assert found["gopher_stop_words"] == sum(word in STOP_WORDS for word in words)
    assert found["gopher_bullet_lines"] == sum(line[:1] in ("*", "-") for line in lines) / len(lines)
    assert found["gopher_ellipsis_lines"] == sum(line[-1:] == "…" for line in lines) / len(lines)
    assert found["gopher_duplicate_lines"] == len(repeated_items(lines)) / len(lines)
    assert found["gopher_duplicate_line_characters"] == characters(repeated_items(lines)) / size
    for n in range(2, 5):
        most = Counter(ngrams(words, n)).most_common(1)
        repeated = sum(times * characters(each) for each, times in most)
        assert found[f"gopher_top_{n}_gram"] == min(repeated / size, 1)
    for n in range(5, 11):
        counts = Counter(ngrams(words, n))
        repeated = sum(characters(each) * times for each, times in counts.items() if times > 1)
        occurrences = sum(characters(each) * times for each, times in counts.items())
        assert found[f"gopher_duplicate_{n}_grams"] == repeated / (occurrences or 1)


@given(TEXTS)
def test_dclm(text: str) -> None:
    words, lines = text.split(), [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [each.strip() for each in text.split("\n\n") if each.strip()]
    found, count = dclm.measure(analyse(text))[0], len(words) or 1
    assert found["gopher_words"] == sum(word[0].isalnum() for word in words)
    assert found["gopher_mean_word_length"] == characters(words) / count
    symbols = len(re.findall(r"#|\.\.\.|…", text)) + len(re.findall(r"\. \. \.", text))
    assert found["gopher_symbols_per_word"] == symbols / count
    assert found["gopher_stop_words"] == sum(word.lower() in STOP_WORDS for word in words)
    assert found["gopher_bullet_lines"] == sum(line[0] in "*-" for line in lines) / (len(lines) or 1)
    ellipses = sum(line.endswith(("...", ". . .", "…")) for line in lines)
    assert found["gopher_ellipsis_lines"] == ellipses / (len(lines) or 1)
    for unit, items in (("line", lines), ("paragraph", paragraphs)):
        size = characters(items) or 1
        assert found[f"gopher_duplicate_{unit}s"] == len(repeated_items(items)) / (len(items) or 1)
        assert found[f"gopher_duplicate_{unit}_characters"] == characters(repeated_items(items)) / size
    words = re.findall(r"\w+", text)
    for n in range(2, 11):
        counts = Counter(ngrams(words, n))
        if n < 5:
            top = max(counts.values(), default=0)
            repeated = top * max((characters(each) for each in counts if counts[each] == top), default=0)
            repeated *= top > 1
        else:
            starts = [start for start, each in enumerate(ngrams(words, n)) if counts[each] > 1]
            covered = {start + step for start in starts for step in range(n)}
            repeated = characters([words[index] for index in covered])
        name = f"gopher_top_{n}_gram" if n < 5 else f"gopher_duplicate_{n}_grams"
        assert found[name] == min(repeated / (characters(words) or 1), 1)


@pytest.mark.parametrize("line", ["It rains. ", "Does it?", 'She said "so"', "Go!"])
def test_finished_lines_of_dolma(line: str) -> None:
    assert dolma.is_finished(line)
    assert not dolma.is_finished(line.rstrip()[:-1] + "…")
