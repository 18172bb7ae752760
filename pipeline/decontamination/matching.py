"""Find evaluation items in texts, and remove the passages that match."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from core.config import DecontaminationConfig
from pipeline.analysis import Flags, Positions
from pipeline.analysis.normalized import NormalizedWords
from pipeline.decontamination.index import EvaluationIndex, text_of_word
from pipeline.ledger import Drop, Reason

MAX_MATCHES = 1000
"""Items that are named per text: only a copy of a whole set contains more."""
MAX_PASSAGE = 200
"""Characters of a passage that are quoted."""
_MAX_WORD = 100
"""Characters within which a cut is moved to white space; in scripts without spaces it stays where it is."""
_REST_OF_WORD = re.compile(rf"\S{{0,{_MAX_WORD}}}(?!\S)")

Spans = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ItemMatch:
    """One item that a text contains."""

    benchmark: str
    item: int
    """Number of its line in the set."""
    hits: int
    """Different n-grams of the item that the text contains."""
    passage: str
    """Beginning of the first passage that matches."""


@dataclass(frozen=True, slots=True)
class Contamination:
    """Evaluation items that one text contains, and the matching passages."""

    matches: tuple[ItemMatch, ...]
    """By hits, descending, then by set and line: at most ``MAX_MATCHES``."""
    hits: int
    """Different n-grams of these and all further items that the text contains."""
    spans: Spans
    """Passages that match, in order, as code-point offsets. They neither overlap nor touch."""


@dataclass(frozen=True, slots=True, eq=False)
class _Occurrences:
    """n-grams found in one text, by their first words."""

    ngrams: Positions
    """Numbers in the index."""
    starts: Positions
    """First word of each, counted from the text's first."""
    ends: Positions
    """Past the last word of each."""


class Decontaminator:
    """Searches texts for the items of an index."""

    def __init__(self, index: EvaluationIndex, settings: DecontaminationConfig) -> None:
        self.index = index
        self.settings = settings
        self._required = np.minimum(index.ngrams_of_item, settings.min_hits)

    def check(self, texts: Sequence[str], words: NormalizedWords) -> list[Contamination | None]:
        """Return what each text of a batch contains; ``words``: the words of these texts.

        A text contains an item if it has ``min_hits`` of the item's n-grams, or all if there are fewer.
        """
        found = [(table.n, *table.find(words)) for table in self.index.tables]
        ngrams = np.concatenate([numbers for _, numbers, _ in found])
        starts = np.concatenate([positions for _, _, positions in found])
        ends = np.concatenate([positions + n for n, _, positions in found])
        order = starts.argsort(kind="stable")
        owners = text_of_word(words, starts[order])
        result: list[Contamination | None] = [None] * len(texts)
        for owner in dict.fromkeys(owners.tolist()):
            chosen = order[slice(*owners.searchsorted([owner, owner + 1]))]
            first, past = words.offsets[owner : owner + 2]
            occurrences = _Occurrences(ngrams[chosen], starts[chosen] - first, ends[chosen] - first)
            result[owner] = self._contamination(
                texts[owner], occurrences, words.starts[first:past], words.ends[first:past]
            )
        return result

    def decide(self, text: str, found: Contamination) -> Drop | str:
        """Return the decision to drop a contaminated text, or what is published of it.

        Of a text of which nothing but white space and punctuation would be left, nothing is published.
        """
        if self.settings.action == "mark":
            return text
        rest = cut(text, found.spans, self.settings.margin) if self.settings.action == "cut" else ""
        return rest or Drop(Reason.CONTAMINATION, found.hits)

    def _contamination(
        self, text: str, found: _Occurrences, word_starts: Positions, word_ends: Positions
    ) -> Contamination | None:
        """Return what a text contains, given the n-grams found in it and the offsets of its words."""
        ngrams, firsts, number = np.unique(found.ngrams, return_index=True, return_inverse=True)
        of_pair, item_of_pair = self._items(ngrams)
        items, item_number, hits = np.unique(item_of_pair, return_inverse=True, return_counts=True)
        contained = hits >= self._required[items]
        if not contained.any():
            return None
        counted = np.zeros(len(ngrams), np.bool_)
        counted[of_pair[contained[item_number]]] = True
        spans = _spans(found, counted[number], word_starts, word_ends)
        first_words = np.full(len(items), len(word_starts))
        np.minimum.at(first_words, item_number, found.starts[firsts[of_pair]])
        ranked = np.lexsort((items, -hits))
        ranked = ranked[contained[ranked]][:MAX_MATCHES]
        matches = tuple(
            self._match(item, count, _passage(text, spans, start))
            for item, count, start in zip(
                items[ranked].tolist(),
                hits[ranked].tolist(),
                word_starts[first_words[ranked]].tolist(),
                strict=True,
            )
        )
        return Contamination(matches, int(counted.sum()), spans)

    def _items(self, ngrams: Positions) -> tuple[Positions, Positions]:
        """Return pairs: the index of an n-gram in ``ngrams``, and the number of an item that contains it."""
        firsts = self.index.offsets[ngrams]
        counts = self.index.offsets[ngrams + 1] - firsts
        before = np.cumsum(counts) - counts
        positions = np.arange(int(counts.sum())) + np.repeat(firsts - before, counts)
        return np.repeat(np.arange(len(ngrams)), counts), self.index.items[positions]

    def _match(self, item: int, hits: int, passage: str) -> ItemMatch:
        benchmark = self.index.sets[self.index.set_of_item[item]].name
        return ItemMatch(benchmark, int(self.index.line_of_item[item]), hits, passage)


def cut(text: str, spans: Iterable[tuple[int, int]], margin: int) -> str:
    """Return a text without the spans and ``margin`` characters on either side, up to the end of a word.

    What remains is joined by blank lines. Empty if no letter or digit remains.
    """
    wider = ((_word_start(text, start - margin), _word_end(text, end + margin)) for start, end in spans)
    removed = list(merged(wider))
    starts = [0, *(end for _, end in removed)]
    ends = [*(start for start, _ in removed), len(text)]
    parts = [text[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    return "\n\n".join(part for part in parts if any(map(str.isalnum, part)))


def merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the union of spans that are sorted by their starts; spans that touch become one."""
    current: tuple[int, int] | None = None
    for start, end in spans:
        if current and start <= current[1]:
            current = current[0], max(current[1], end)
            continue
        if current:
            yield current
        current = start, end
    if current:
        yield current


def _spans(found: _Occurrences, chosen: Flags, word_starts: Positions, word_ends: Positions) -> Spans:
    """Return the passages that the chosen occurrences cover."""
    pairs = zip(found.starts[chosen].tolist(), found.ends[chosen].tolist(), strict=True)
    return [(int(word_starts[first]), int(word_ends[past - 1])) for first, past in merged(pairs)]


def _passage(text: str, spans: Spans, position: int) -> str:
    """Return the beginning of the passage that contains a position."""
    start, end = spans[bisect_right(spans, position, key=itemgetter(0)) - 1]
    return text[start : min(end, start + MAX_PASSAGE)]


def _word_start(text: str, position: int) -> int:
    """Return where the word at a position begins."""
    position = max(position, 0)
    before = text[max(position - _MAX_WORD, 0) : position]
    word = _REST_OF_WORD.match(before[::-1])
    is_whole = word and (word.end() < len(before) or position == len(before))
    return position - word.end() if word and is_whole else position


def _word_end(text: str, position: int) -> int:
    """Return where the word at a position ends."""
    word = _REST_OF_WORD.match(text, position)
    return word.end() if word else min(position, len(text))
