"""Feature vectors of blocks: their text, position, ancestors, neighbors and page.

The blocks of an element are contiguous, so that every sum over an element or a window is a difference of two
cumulative sums. All computations are array operations over a page's blocks or elements. Rows are looked up
with ``take``, which is several times faster than indexing. Arrays are so short that calls take most of the
time: methods of arrays are preferred to functions of NumPy that wrap them.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.html.blocks import Blocks
from pipeline.extraction.html.cues import MAX_CHARACTERS, cues

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Numeric = NDArray[Any]
"""An array of any numeric dtype."""
NameScorer = Callable[[Sequence[tuple[str, str]]], NDArray[np.float64]]
"""Function from elements' names and tags to the minimum, maximum and mean score of their words."""

UPPER, STOP, COMMA, PRICE, WORD, IDEOGRAPH = range(6)
"""Character classes; a character may be in several."""
_MARKS = {STOP: ".!?。！？…؟।", COMMA: ",;:،、，；：", PRICE: "$€£¥₹₽"}
_UNSPACED = ((0x0E00, 0x0EFF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
"""Code points of scripts without spaces between words: Thai and Lao, kana, Han."""
_WORDS_PER_IDEOGRAPH = 0.6

ANCESTOR_TAGS = ("nav", "footer", "li", "article", "main")
"""Tags for each of which a feature is 1 if any ancestor of the block has it."""
_BIT = {tag: 1 << bit for bit, tag in enumerate((*ANCESTOR_TAGS, "header", "p"))}
_FRAME = _BIT["nav"] | _BIT["header"] | _BIT["footer"]
_LEVEL = len(_BIT)
"""Number of tag bits; the level of a heading is stored above them."""
_TAGS = _BIT | {f"h{level}": level << _LEVEL for level in range(1, 7)}
_LARGE_SHARE, _MEDIUM_WORDS = 0.25, 80.0
"""Features describe the nearest ancestor with this share of the page's words, and that with so many words."""
_MAX_CUE_DISTANCE = 200
"""Blocks after which a cue has no effect."""
_DECAY, _DECAY_SUM = 0.97, 0.9
"""Factors by which an ancestor's name score decays per level: for extremes and for the sum."""
_WORDS, _LINKED, _ENDED, _IN_PARAGRAPH, _STOPS, _IN_LONG, _BLOCKS, _PRICED = range(8)
"""Columns of the sums over blocks: words, those in links, sentences, paragraphs, …"""
_LETTERS = bytes(code if chr(code) in "\0abcdefghijklmnopqrstuvwxyz" else ord(" ") for code in range(256))
"""Table for ``bytes.translate`` with a blank for all but NUL and lower-case letters."""
_ARTICLE = re.compile(r"article|blog|news|story|stories|single|opinion")
"""Matches names of the body of article pages."""
_URL_PATH = re.compile(r"^\w+://[^/?#]*([^?#]*)")


def split_names(names: Sequence[str]) -> list[bytes]:
    """Return the lower-case words of all names, in order; each name's words follow the word NUL.

    Words are runs of letters; a capital starts a new one. NUL is in no name, because parsed HTML has none.
    """
    # The blank at the end is for the last character, which is read with the one after it.
    joined = (" \0 ".join(["", *names]) + " ").encode("ascii", "replace")
    starts = _capital_starts(joined)
    parts = [joined[start:stop] for start, stop in zip([0, *starts], [*starts, None], strict=True)]
    return b" ".join(parts).lower().translate(_LETTERS).split()


def _capital_starts(text: bytes) -> list[int]:
    """Return the positions of capitals that start a word: of ``P`` in ``HTMLParser``."""
    # Array operations take a fraction of the time of a regular expression here.
    codes = np.frombuffer(text, np.uint8)
    is_upper, is_lower = codes - ord("A") < 26, codes - ord("a") < 26
    return ((is_upper[1:-1] & (is_lower[2:] | ~is_upper[:-2])).nonzero()[0] + 1).tolist()


class Features(NamedTuple):
    """The features of a page's blocks."""

    matrix: Floats
    """``[block, feature]``."""
    words: Floats
    """Number of words of each block; estimated for scripts without spaces."""
    templates: Numbers
    """Template of each block: equal for blocks whose owner and its parent agree in tag and name."""


def features(blocks: Blocks, url: str, scorer: NameScorer) -> Features:
    """Compute the features of a page with at least one block; ``url`` may be empty."""
    table = _FeatureTable(blocks, scorer)
    groups = (
        table.text(),
        table.position(),
        table.cues(),
        table.context(),
        table.ancestors(),
        table.neighbors(),
        table.page(url),
    )
    return Features(np.concatenate(groups, 1, dtype=np.float32), table.words, table.templates())


class _Elements:
    """Properties of the elements, as arrays by element."""

    def __init__(self, blocks: Blocks, scorer: NameScorer) -> None:
        # Values that depend only on name and tag are computed once per distinct pair.
        ids: dict[tuple[str, str], int] = {}
        pairs = zip(blocks.names, blocks.tags, strict=True)
        pair_ids = np.array([ids.setdefault(pair, len(ids)) for pair in pairs])
        signatures = list(ids)
        self.frequency = np.log1p(_floats(np.bincount(pair_ids)))[pair_ids]
        tags = np.array([_TAGS.get(tag, 0) for _, tag in signatures])[pair_ids]
        self.level, bits = tags >> _LEVEL, tags & ((1 << _LEVEL) - 1)
        self.in_paragraph = (bits & _BIT["p"]) > 0
        counts, parents = _integers(blocks.counts), _integers(blocks.parents)
        scores = np.zeros((len(ids), 3))
        with_blocks = np.bincount(pair_ids, counts).nonzero()[0]
        scores[with_blocks] = scorer([signatures[pair] for pair in with_blocks.tolist()])
        scores = scores.take(pair_ids, 0)
        self.own_scores = _floats(scores[:, :2])
        self._inherit(parents, scores, bits)
        self.children = np.log1p(_floats(np.bincount(parents[1:], minlength=len(parents))))
        self.parents = np.maximum(parents, 0)
        self.templates = pair_ids * len(ids) + pair_ids[self.parents]
        self.firsts = _integers(blocks.firsts)
        self.stops = self.firsts + counts

    def _inherit(self, parents: Numbers, scores: Numeric, bits: Numbers) -> None:
        """Combine each element's values with those of its ancestors, by pointer doubling."""
        # The parent of the body is a neutral last row, at index -1, which is its own parent.
        above = np.concatenate((parents, (-1,)))
        bits = np.concatenate((bits, (0,)))
        extremes, sums = np.zeros((2, len(above), 2))
        extremes[:-1] = scores[:, :2] * (-1, 1)
        sums[:-1, 0], sums[:-1, 1] = scores[:, 2], 1
        decay, decay_sums = _DECAY, np.array((_DECAY_SUM, 1))
        self._rounds = 0
        while above.max() >= 0:
            bits |= bits.take(above)
            extremes = np.maximum(extremes, decay * extremes.take(above, 0))
            sums += decay_sums * sums.take(above, 0)
            above = above.take(above)
            decay, decay_sums = decay**2, decay_sums**2
            self._rounds += 1
        self.bits = bits[:-1]
        depth = sums[:-1, 1:] - 1
        self.context = np.concatenate((depth, extremes[:-1] * (-1, 1), sums[:-1, :1]), 1, dtype=np.float32)
        """Depth; then minimum, maximum and sum of the decayed name scores, including ancestors'."""

    def nearest(self, mask: NDArray[np.bool_]) -> Numbers:
        """Return, for each element, the nearest ancestor-or-self in the mask, or else the body."""
        nearest = np.where(mask, np.arange(len(mask)), self.parents)
        for _ in range(self._rounds):
            nearest = nearest[nearest]
        return nearest


class _FeatureTable:
    """The features of one page in groups, each ``[block, feature]``."""

    def __init__(self, blocks: Blocks, scorer: NameScorer) -> None:
        self._blocks = blocks
        self._count = len(blocks.texts)
        self._index = np.arange(self._count)
        self._measure_texts()
        self._owners = _integers(blocks.owners)
        self._elements = _Elements(blocks, scorer)
        self._levels = _floats(self._elements.level[self._owners])
        self._bits = self._elements.bits[self._owners]
        self._compute_sums()

    def _measure_texts(self) -> None:
        texts = self._blocks.texts
        lengths = _integers(list(map(len, texts)))
        self._by_class, self._ends = _count_characters(texts, lengths)
        words = self._by_class[:, WORD] + _WORDS_PER_IDEOGRAPH * self._by_class[:, IDEOGRAPH]
        self.words = np.maximum(words, 0.3).astype(np.float32)
        self._characters = _floats(lengths)
        self._links = np.minimum(_floats(self._blocks.linked) / self._characters, 1)

    def _compute_sums(self) -> None:
        """Compute cumulative sums over the blocks and, from them, the content of each element."""
        words, elements = self.words, self._elements
        columns = (
            words,
            words * self._links,
            words * (self._ends == 2),
            words * elements.in_paragraph[self._owners],
            self._by_class[:, STOP],
            words * (words > 15),
            np.ones_like(words),
            self._by_class[:, PRICE] > 0,
        )
        self._sums = np.zeros((self._count + 1, len(columns)))
        np.array(columns).T.cumsum(0, out=self._sums[1:])
        self._total = self._sums[-1]
        sums = self._sums.take(elements.stops, 0) - self._sums.take(elements.firsts, 0)
        self._element_words = sums[:, _WORDS]
        words = np.maximum(sums[:, :1], 0.3)
        blocks = sums[:, _BLOCKS, None]
        shares = sums[:, _LINKED : _IN_LONG + 1] / words
        amounts = (sums[:, :1] / self._total[0], shares, words / np.maximum(blocks, 1), np.log1p(blocks))
        self._content = np.concatenate(amounts, 1, dtype=np.float32)

    def templates(self) -> Numbers:
        """Return the template of each block, numbered from 0."""
        ids: dict[int, int] = {}
        templates = self._elements.templates[self._owners].tolist()
        # Faster than np.unique with so few.
        return _integers([ids.setdefault(template, len(ids)) for template in templates])

    def text(self) -> Floats:
        """Features of the block's own text."""
        copies = Counter(self._blocks.texts)
        return _columns(
            np.log1p(self.words),
            self._by_class[:, UPPER] / self._characters,
            self._ends,
            np.fromiter(map(copies.__getitem__, self._blocks.texts), np.float32, self._count),
            self._links,
        )

    def position(self) -> Floats:
        """Features of the block's position on the page, also relative to headings and running text."""
        index, levels = self._index, self._levels
        heading = np.maximum.accumulate(np.where(levels > 0, index, -1))
        running = ((self.words > 20) & (self._links < 0.3)).nonzero()[0]
        return _columns(
            index / self._count,
            np.log1p(self._count - index),
            np.log1p(index),
            self._sums[:-1, _WORDS] / self._total[_WORDS],
            levels,
            self._distance((levels == 1).nonzero()[0][:1], 100),
            np.minimum(index - heading, 100),
            np.where(heading >= 0, levels[heading], 9),
            self._distance(running[:1], 60),
            self._distance(running[-1:], 60),
        )

    def _distance(self, mark: Numbers, limit: int) -> Numbers:
        """Return the distance to a block, clipped to ``limit``; ``-2 * limit`` if ``mark`` is empty."""
        if not len(mark):
            return np.full(self._count, -2 * limit)
        distance: Numbers = np.minimum(np.maximum(self._index - mark[0], -limit), limit)  # faster than clip
        return distance

    def cues(self) -> Floats:
        """Number of blocks since each kind of section was last announced, clipped."""
        # A link leads to such a section elsewhere; it does not announce one here.
        candidates = ((self._characters <= MAX_CHARACTERS) & (self._links < 1)).nonzero()[0]
        kinds = np.zeros(self._count, np.int64)
        kinds[candidates] = cues().announced([self._blocks.texts[block] for block in candidates.tolist()])
        is_announced = (kinds[:, None] >> np.arange(len(cues().kinds))) & 1 > 0
        last = np.maximum.accumulate(np.where(is_announced, self._index[:, None], -_MAX_CUE_DISTANCE))
        return np.minimum(self._index[:, None] - last, _MAX_CUE_DISTANCE).astype(np.float32)

    def context(self) -> Floats:
        """Tags and name scores of the block's ancestors."""
        has_ancestor = (self._bits[:, None] >> np.arange(len(ANCESTOR_TAGS))) & 1
        elements, owners = self._elements, self._owners
        scores = (elements.context.take(owners, 0), elements.own_scores.take(owners, 0)[:, ::-1])
        return np.concatenate((has_ancestor, *scores), 1, dtype=np.float32)

    def ancestors(self) -> Floats:
        """Content of the block's ancestors: the nearest four, the sixth, a large and a medium-sized one."""
        elements, content, owners = self._elements, self._content, self._owners
        chain = [owners]
        for _ in range(5):
            chain.append(elements.parents[chain[-1]])
        above = np.array(chain).T
        groups = (
            content.take(above[:, (0, 1, 2, 3, 5)], 0).reshape(self._count, -1),
            elements.frequency[above[:, :4]],
            elements.own_scores.take(above[:, 1:4], 0).reshape(self._count, -1),
            self._nearest(_LARGE_SHARE * self._total[_WORDS]),
            self._nearest(_MEDIUM_WORDS),
            elements.children[above[:, 1:3]],
        )
        return np.concatenate(groups, 1)

    def _nearest(self, min_words: float) -> Floats:
        """Content and distance of the block's nearest ancestor with at least ``min_words`` words."""
        elements, owners = self._elements, self._owners
        element = elements.nearest(self._element_words >= min_words)[owners]
        context, begin = elements.context.take(element, 0), elements.firsts[element]
        depth = elements.context[owners, :1] - context[:, :1]
        position = (self._index - begin) / np.maximum(elements.stops[element] - begin, 1)
        groups = (self._content.take(element, 0), context[:, 1:], depth, position[:, None])
        return np.concatenate(groups, 1, dtype=np.float32)

    def neighbors(self) -> Floats:
        """Name scores of the two blocks before and after; content of windows of ±3, ±8 and ±20 blocks."""
        scores = self._elements.context[self._owners, 3]
        padded = np.concatenate((np.zeros(2, np.float32), scores, np.zeros(2, np.float32)))
        shifted = [padded[2 - by : 2 - by + self._count] for by in (1, 2, -1, -2)]
        reach = np.array((3, 8, 20))
        begin, end = self._index[:, None] - reach, self._index[:, None] + reach + 1
        sums = self._sums.take(np.minimum(end, self._count), 0) - self._sums.take(np.maximum(begin, 0), 0)
        words = sums[:, :, :1]
        groups = (np.log1p(words), sums[:, :, _LINKED : _IN_PARAGRAPH + 1] / words)
        windows = np.concatenate(groups, 2, dtype=np.float32).reshape(self._count, -1)
        return np.concatenate((_columns(*shifted), windows), 1)

    def page(self, url: str) -> Floats:
        """Features of the page, equal for all its blocks."""
        blocks, total, count = self._blocks, self._total.tolist(), self._count
        words = total[_WORDS]
        levels = np.bincount(self._levels.astype(np.int64), minlength=3).tolist()
        listed = np.count_nonzero(self._bits & _BIT["li"])
        in_frame = float((self.words * ((self._bits & _FRAME) > 0)).sum())
        amounts = [math.log1p(words), math.log1p(count), words / count, total[_PRICED] / count]
        amounts += [total[column] / words for column in (_LINKED, _ENDED, _IN_PARAGRAPH, _IN_LONG)]
        amounts += [math.log1p(count - levels[0]), levels[2] / count, listed / count, in_frame / words]
        amounts.append(math.log1p(blocks.tags.count("article")))
        amounts.append(bool(_ARTICLE.search(blocks.names[0].lower())))
        row = _floats([*amounts, *_url_features(url)])
        rows = np.empty((count, len(row)), np.float32)
        rows[:] = row
        return rows


def _url_features(url: str) -> tuple[int, int, int]:
    """Return the length of a URL's path and its numbers of hyphens and digits; -1 without a URL."""
    if not (match := _URL_PATH.match(url)):
        return -1, -1, -1
    path = match[1]
    return len(path), path.count("-"), sum(map(str.isdigit, path))


def _count_characters(texts: list[str], lengths: Numbers) -> tuple[Floats, Floats]:
    """Return, for each text, the number of characters by class (for WORD, of words), and the type of its end.

    The type is 2 for the end of a sentence, 1 for the end of a clause, else 0.
    """
    groups, classes, ends, plain = _character_groups()
    codes = np.frombuffer("\n".join(["", *texts]).encode("utf-32-le", "replace"), np.uint32)
    found = groups.take(codes, mode="clip")
    stops = (lengths + 1).cumsum()
    # Most characters are plain letters or blanks; only the others are assigned to their texts.
    rare = ((found > 0) & (found != plain.start)).nonzero()[0]
    cells = stops.searchsorted(rare, "right") * len(classes) + found[rare]
    counts = np.bincount(cells, minlength=len(texts) * len(classes)).reshape(len(texts), -1)
    by_class = _floats(counts) @ classes
    in_word = (found >= plain.start) & (found < plain.stop)
    begins = (in_word[1:] > in_word[:-1]).nonzero()[0] + 1
    by_class[:, WORD] = np.bincount(stops.searchsorted(begins, "right"), minlength=len(texts))
    return by_class, ends[found[stops - 1]]


@cache
def _character_groups() -> tuple[NDArray[np.uint8], Floats, Floats, slice]:
    """Group the characters of the basic multilingual plane by their classes.

    Return the group of each character; ``[group, class]``, 1 if the group has the class; the type of end of
    each group, as in :func:`_count_characters`; and the groups of word characters of scripts with spaces.
    """
    bits = np.zeros(1 << 16, np.uint8)
    for code, character in enumerate(map(chr, range(1 << 16))):
        word = character.isalnum() or character == "_"
        bits[code] = word << WORD | character.isupper() << UPPER
    for mark, characters in _MARKS.items():
        bits[[ord(character) for character in characters]] |= 1 << mark
    for first, last in _UNSPACED:
        bits[first : last + 1] |= 1 << IDEOGRAPH
    distinct, groups = np.unique(bits, return_inverse=True)
    first, stop = np.searchsorted(distinct, (1 << WORD, 1 << IDEOGRAPH)).tolist()
    classes = _floats(distinct[:, None] >> np.arange(6) & 1)
    ends = np.where(classes[:, STOP], np.float32(2), classes[:, COMMA])
    return groups.astype(np.uint8), classes, ends, slice(first, stop)


def _integers(values: Sequence[int]) -> Numbers:
    return np.fromiter(values, np.int64, len(values))


def _floats(values: object) -> Floats:
    return np.array(values, np.float32)


def _columns(*rows: Numeric) -> Floats:
    return _floats(rows).T
