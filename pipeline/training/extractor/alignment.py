"""Alignment of a page's blocks with its gold text, which yields the labels for training the extractor."""

import re
from collections import defaultdict
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_RUN_LENGTHS = (12, 8, 5, 4, 3)
"""Numbers of consecutive words that must agree for an anchor, in the order of matching."""
_MAX_GAP = 300
"""Words of the longest gap between two anchors in which single words are matched."""
_MAX_EDGE = 60
"""Words of the gold text before the first anchor and after the last in which single words are matched."""
_MAX_SHORT_BLOCK = 4
"""Words of the longest block that may match as a whole without an anchor."""
_LOOK_BACK = 30
_UNMATCHED = -1


def split_words(text: str) -> list[str]:
    """Return a text's words in lower case, as used to score extractors."""
    return _WORD.findall(text.lower())


def align(texts: Sequence[str], gold: str) -> tuple[list[int], list[int]]:
    """Return, for each block, the number of its words that are in the gold text and the number of its words.

    Each word of the gold text is used once. Long runs are matched first, then shorter ones, then single words
    between two matches, and last, short blocks that occur in the rest.
    """
    alignment = _Alignment(texts, split_words(gold))
    for length in _RUN_LENGTHS:
        alignment.match_runs(length)
    alignment.fill_gaps()
    alignment.match_short_blocks()
    return alignment.counts()


class _Alignment:
    """The words of a page, each with the index of the word of the gold text that it is matched with."""

    def __init__(self, texts: Sequence[str], gold: list[str]) -> None:
        self._by_block = [split_words(text) for text in texts]
        self._page = [word for block in self._by_block for word in block]
        self._gold = gold
        self._match_of = [_UNMATCHED] * len(self._page)
        self._used = [False] * len(gold)

    def match_runs(self, length: int) -> None:
        """Match runs of at least ``length`` words."""
        index: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
        for start in range(len(self._gold) - length + 1):
            if not any(self._used[start : start + length]):
                index[tuple(self._gold[start : start + length])].append(start)
        position = 0
        while position <= len(self._page) - length:
            starts = index.get(tuple(self._page[position : position + length]), ())
            free = [start for start in starts if not any(self._used[start : start + length])]
            if free and self._is_unmatched(position, length):
                position += self._extend_match(position, self._nearest(position, free))
            else:
                position += 1

    def _is_unmatched(self, position: int, length: int) -> bool:
        return all(match < 0 for match in self._match_of[position : position + length])

    def _nearest(self, position: int, starts: Sequence[int]) -> int:
        """Return the start in the gold text that is closest to the preceding match."""
        preceding = self._match_of[max(0, position - _LOOK_BACK) : position][::-1]
        last = next((match for match in preceding if match >= 0), 0)
        return min(starts, key=lambda start: abs(start - last))

    def _extend_match(self, position: int, start: int) -> int:
        """Match as many consecutive words as agree; return their number."""
        length = 0
        while (
            position + length < len(self._page)
            and start + length < len(self._gold)
            and self._match_of[position + length] < 0
            and not self._used[start + length]
            and self._page[position + length] == self._gold[start + length]
        ):
            self._match(position + length, start + length)
            length += 1
        return length

    def _match(self, position: int, gold_position: int) -> None:
        self._match_of[position] = gold_position
        self._used[gold_position] = True

    def fill_gaps(self) -> None:
        """Match single words between two neighboring matches, within the same interval of the gold text."""
        matched = [position for position, match in enumerate(self._match_of) if match >= 0]
        if not matched:
            return
        for begin, end in zip([-1, *matched], [*matched, len(self._page)], strict=True):
            low = self._match_of[begin] if begin >= 0 else max(-1, self._match_of[end] - _MAX_EDGE)
            high = self._match_of[end] if end < len(self._page) else low + _MAX_EDGE
            if end - begin > 1 and low < high < low + _MAX_GAP and end - begin < _MAX_GAP:
                self._fill(range(begin + 1, end), range(low + 1, min(high, len(self._gold))))

    def _fill(self, page: range, gold: range) -> None:
        unused: defaultdict[str, list[int]] = defaultdict(list)
        for gold_position in reversed(gold):
            if not self._used[gold_position]:
                unused[self._gold[gold_position]].append(gold_position)
        for position in page:
            if gold_positions := unused.get(self._page[position]):
                self._match(position, gold_positions.pop())

    def match_short_blocks(self) -> None:
        """Match blocks of a few words, none of which is matched yet."""
        unused: defaultdict[str, list[int]] = defaultdict(list)
        for gold_position, word in enumerate(self._gold):
            if not self._used[gold_position]:
                unused[word].append(gold_position)
        position = 0
        for block in self._by_block:
            length = len(block)
            if 0 < length <= _MAX_SHORT_BLOCK and self._is_unmatched(position, length):
                for start in unused.get(block[0], ()):
                    free = not any(self._used[start : start + length])
                    if free and self._gold[start : start + length] == block:
                        self._extend_match(position, start)
                        break
            position += length

    def counts(self) -> tuple[list[int], list[int]]:
        """Return the numbers of matched words and of words, by block."""
        matched, position = [], 0
        for block in self._by_block:
            matched.append(sum(match >= 0 for match in self._match_of[position : position + len(block)]))
            position += len(block)
        return matched, [len(block) for block in self._by_block]
