"""Which words of a page's blocks are in its gold text: the labels that the extractor learns from."""

import re
from collections import defaultdict
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_RUNS = (12, 8, 5, 4, 3)
"""Words that must agree for an anchor, the longest first."""
_GAP = 300
"""Words of the longest gap between two anchors in which single words are matched."""
_EDGE = 60
"""Words of the gold text before the first anchor and behind the last in which single words are matched."""
_SHORT = 4
"""Words of the longest block that may match as a whole without an anchor."""
_LOOK_BACK = 30


def words(text: str) -> list[str]:
    """The words by which extractors are judged."""
    return _WORD.findall(text.lower())


def aligned(texts: Sequence[str], gold: str) -> tuple[list[int], list[int]]:
    """For each block, how many of its words are in the gold text, and how many it has.

    Each word of the gold text is used once. Long runs are matched first, then shorter ones, then the words
    between two matches, and last, short blocks that occur in what is left.
    """
    alignment = _Alignment(texts, words(gold))
    for length in _RUNS:
        alignment.match_runs(length)
    alignment.fill_gaps()
    alignment.match_short_blocks()
    return alignment.counts()


class _Alignment:
    """Words of the page, each with the place in the gold text that it is matched with, or -1."""

    def __init__(self, texts: Sequence[str], gold: list[str]) -> None:
        self._by_block = [words(text) for text in texts]
        self._page = [word for block in self._by_block for word in block]
        self._gold = gold
        self._place = [-1] * len(self._page)
        self._used = [False] * len(gold)

    def match_runs(self, length: int) -> None:
        """Match runs of at least so many words."""
        index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for start in range(len(self._gold) - length + 1):
            if not any(self._used[start : start + length]):
                index[tuple(self._gold[start : start + length])].append(start)
        at = 0
        while at <= len(self._page) - length:
            starts = index.get(tuple(self._page[at : at + length]), ())
            free = [start for start in starts if not any(self._used[start : start + length])]
            if free and all(place < 0 for place in self._place[at : at + length]):
                at += self._match(at, self._nearest(at, free))
            else:
                at += 1

    def _nearest(self, at: int, starts: Sequence[int]) -> int:
        """Of several places in the gold text, the one closest to what was matched just before."""
        before = next((place for place in self._place[max(0, at - _LOOK_BACK) : at][::-1] if place >= 0), 0)
        return min(starts, key=lambda start: abs(start - before))

    def _match(self, at: int, start: int) -> int:
        """Match as many words as agree; how many."""
        length = 0
        while (
            at + length < len(self._page)
            and start + length < len(self._gold)
            and self._place[at + length] < 0
            and not self._used[start + length]
            and self._page[at + length] == self._gold[start + length]
        ):
            self._take(at + length, start + length)
            length += 1
        return length

    def _take(self, at: int, place: int) -> None:
        self._place[at] = place
        self._used[place] = True

    def fill_gaps(self) -> None:
        """Between two matches, match single words that the gold text has between the same two."""
        matched = [at for at, place in enumerate(self._place) if place >= 0]
        if not matched:
            return
        for begin, end in zip([-1, *matched], [*matched, len(self._page)], strict=True):
            low = self._place[begin] if begin >= 0 else max(-1, self._place[end] - _EDGE)
            high = self._place[end] if end < len(self._page) else low + _EDGE
            if end - begin > 1 and low < high < low + _GAP and end - begin < _GAP:
                self._fill(range(begin + 1, end), range(low + 1, min(high, len(self._gold))))

    def _fill(self, page: range, gold: range) -> None:
        left: defaultdict[str, list[int]] = defaultdict(list)
        for place in reversed(gold):
            if not self._used[place]:
                left[self._gold[place]].append(place)
        for at in page:
            if places := left.get(self._page[at]):
                self._take(at, places.pop())

    def match_short_blocks(self) -> None:
        """Match blocks of a few words of which none is matched."""
        left: defaultdict[str, list[int]] = defaultdict(list)
        for place, word in enumerate(self._gold):
            if not self._used[place]:
                left[word].append(place)
        at = 0
        for block in self._by_block:
            length = len(block)
            if 0 < length <= _SHORT and all(place < 0 for place in self._place[at : at + length]):
                for start in left.get(block[0], ()):
                    free = not any(self._used[start : start + length])
                    if free and self._gold[start : start + length] == block:
                        self._match(at, start)
                        break
            at += length

    def counts(self) -> tuple[list[int], list[int]]:
        """Matched words and words, by block."""
        matched, at = [], 0
        for block in self._by_block:
            matched.append(sum(place >= 0 for place in self._place[at : at + len(block)]))
            at += len(block)
        return matched, [len(block) for block in self._by_block]
