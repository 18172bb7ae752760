"""Repeated lines and passages by brute force: lists and sets of strings, without hashes."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

Interval = tuple[int, int]


def is_unspaced(character: str) -> bool:
    return character.isalpha() and any(low <= character <= high for low, high in ("一鿿", "぀ヿ", "฀๿"))


def words(text: str) -> Iterator[Interval]:
    """Yield the words of a text; of the scripts without spaces, it knows Han, Kana and Thai."""
    for segment in re.finditer(r"\S+", text):
        start = position = segment.start()
        while position < segment.end():
            if not is_unspaced(text[position]):
                position += 1
                continue
            if position > start:
                yield start, position
            start, position = position, position + 1
            while position < segment.end() and unicodedata.category(text[position])[0] == "M":
                position += 1
            yield start, position
            start = position
        if start < segment.end():
            yield start, segment.end()


def _runs(text: str, excluded: Sequence[Interval]) -> Iterator[list[Interval]]:
    """Yield the lists of words between excluded spans."""
    edges = [0, *(edge for span in excluded for edge in span), len(text)]
    found = list(words(text))
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        yield [(start, end) for start, end in found if low <= start and end <= high]


def repeated_passages(
    texts: Mapping[str, str], size: int, excluded: Mapping[str, Sequence[Interval]]
) -> dict[str, list[Interval]]:
    """Return the passages of at least ``size`` words that a document with a smaller id contains, by id."""
    first: dict[tuple[str, ...], str] = {}
    windows: dict[str, list[tuple[tuple[str, ...], Interval]]] = defaultdict(list)
    for identifier in sorted(texts):
        text = texts[identifier]
        for run in _runs(text, excluded.get(identifier, ())):
            for index in range(len(run) - size + 1):
                window = run[index : index + size]
                content = tuple(text[start:end] for start, end in window)
                first.setdefault(content, identifier)
                windows[identifier].append((content, (window[0][0], window[-1][1])))
    cut = {
        identifier: merge([span for content, span in each if first[content] < identifier])
        for identifier, each in windows.items()
    }
    return {identifier: spans for identifier, spans in cut.items() if spans}


def merge(spans: Sequence[Interval]) -> list[Interval]:
    """Return the maximal spans that spans cover."""
    merged: list[Interval] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def lines(text: str, min_characters: int) -> list[Interval]:
    """Return the stripped lines that are long enough."""
    found = []
    for line in re.finditer(r"[^\n]+", text):
        stripped = line[0].strip()
        start = line.start() + len(line[0]) - len(line[0].lstrip())
        if stripped and len(stripped) >= min_characters:
            found.append((start, start + len(stripped)))
    return found


def repeated_lines(
    texts: Mapping[str, str],
    hosts: Mapping[str, str],
    min_documents: int,
    min_hosts: int,
    min_characters: int,
) -> dict[str, list[Interval]]:
    """Return the lines that enough documents of enough hosts contain, by id."""
    containing = defaultdict(set)
    for identifier, text in texts.items():
        for start, end in lines(text, min_characters):
            containing[text[start:end]].add(identifier)
    frequent = {
        line
        for line, documents in containing.items()
        if len(documents) >= min_documents and len({hosts[each] for each in documents}) >= min_hosts
    }
    cut = {
        identifier: [
            (start, end) for start, end in lines(text, min_characters) if text[start:end] in frequent
        ]
        for identifier, text in texts.items()
    }
    return {identifier: spans for identifier, spans in cut.items() if spans}
