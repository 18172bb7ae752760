from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.batches import text_batches
from pipeline.dedup.cuts import Span, cut
from pipeline.dedup.lines import add_up, count_lines, find_lines, frequent_lines
from tests.pipeline.dedup import oracle

line = st.text("ab \t甲", max_size=4)
texts = st.lists(st.lists(line, max_size=6).map("\n".join), max_size=8)


def _counts(texts, hosts, characters, limit):
    batches = text_batches(texts, characters)
    sums = list(add_up((count_lines(batch, hosts, 2) for batch in batches), limit))
    return [list(zip(*(column.tolist() for column in each), strict=True)) for each in sums]


@given(texts, st.integers(1, 3))
def test_lines_are_stripped_and_long_enough(texts, min_characters):
    for batch in text_batches(texts, 12):
        lines = find_lines(batch, min_characters)
        documents = batch.documents(lines.starts)
        offsets = batch.offsets(documents)
        found = list(zip(documents, lines.starts - offsets, lines.ends - offsets, strict=True))
        numbers = range(batch.first, batch.first + len(batch.starts))
        assert found == [(n, *span) for n in numbers for span in oracle.lines(texts[n], min_characters)]


@given(texts, st.integers(1, 30), st.integers(1, 10), st.randoms())
def test_counts_do_not_depend_on_batches(texts, characters, limit, random):
    """The sums over all rows are those of one batch, and rows of one yield are distinct."""
    hosts = np.array([random.randrange(3) for _ in texts], np.int64)
    total: Counter[tuple[int, int]] = Counter()
    for rows in _counts(texts, hosts, characters, limit):
        assert len({row[:2] for row in rows}) == len(rows)
        for each, host, documents in rows:
            total[each, host] += documents
    whole = [row for rows in _counts(texts, hosts, 10_000, 10_000) for row in rows]
    assert total == Counter({row[:2]: row[2] for row in whole})
    by_text = Counter(
        (host, content)
        for text, host in zip(texts, hosts.tolist(), strict=True)
        for content in {text[start:end] for start, end in oracle.lines(text, 2)}
    )
    assert sorted(total.values()) == sorted(by_text.values())


@given(texts, st.integers(1, 3))
def test_after_frequent_lines_are_removed_none_is_left(texts, min_documents):
    batch = next(text_batches(["", *texts], 10_000))
    hosts = np.zeros(len(texts) + 1, np.int64)
    lines, _, documents = count_lines(batch, hosts, 1)
    frequent = lines[documents >= min_documents]
    found = frequent_lines(batch, frequent, 1)
    offsets = batch.offsets(found.documents)
    spans = {number: [] for number in range(1, len(texts) + 1)}
    for number, start, end in zip(found.documents, found.starts - offsets, found.ends - offsets, strict=True):
        spans[int(number)].append(Span(int(start), int(end)))
    expected = oracle.repeated_lines(dict(enumerate(texts, 1)), dict.fromkeys(spans, ""), min_documents, 1, 1)
    assert {number: each for number, each in spans.items() if each} == expected
    rest = [cut(text, spans[number]) for number, text in enumerate(texts, 1)]
    assert not len(frequent_lines(next(text_batches(["", *rest], 10_000)), frequent, 1))
