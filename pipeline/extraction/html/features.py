"""What the model is told of each block: text, place, the elements around it, neighbours, page.

An element's blocks are neighbours, so that whatever is summed over elements or surroundings is a difference
of two running sums. All is arithmetic on a page's blocks or elements as a whole, for there are hundreds; rows
of tables are looked up with ``take``, which is several times faster than an index.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.html.blocks import Blocks
from pipeline.extraction.html.cues import LONGEST, cues

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Numeric = NDArray[Any]
"""Of any numeric type."""
Names = Callable[[Sequence[tuple[str, str]]], NDArray[np.float64]]
"""What elements' names and tags say: ``[element, 3]``, lowest, highest and mean score of their words."""

UPPER, STOP, COMMA, PRICE, WORD, IDEOGRAPH = range(6)
"""Kinds of characters; one may be of several."""
_MARKS = {STOP: ".!?。！？…؟।", COMMA: ",;:،、，；：", PRICE: "$€£¥₹₽"}
_UNSPACED = ((0x0E00, 0x0EFF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
"""Scripts without spaces between words: Thai and Lao, kana, Han."""
_WORDS_PER_IDEOGRAPH = 0.6

AROUND = ("nav", "footer", "li", "article", "main")
"""Tags that a block may lie in, however deep."""
_BIT = {tag: 1 << place for place, tag in enumerate((*AROUND, "header", "p"))}
_FRAME = _BIT["nav"] | _BIT["header"] | _BIT["footer"]
_LEVEL = len(_BIT)
"""Beside its bit, a heading's number has its level from this bit on."""
_TAGS = _BIT | {f"h{level}": level << _LEVEL for level in range(1, 7)}
_LARGE, _MIDDLE = 0.25, 80.0
"""To a block matter the nearest element with this share of the page's words, and that with so many words."""
_LONG_AGO = 200
"""Blocks after which an announcement is forgotten."""
_FADING, _FADING_SUM = 0.97, 0.9
"""What is said of an element counts less by such a factor with every step further in."""
_WORDS, _LINKED, _ENDED, _IN_PARAGRAPH, _STOPS, _IN_LONG, _BLOCKS, _PRICED = range(8)
"""Summed over blocks: words, those in links, sentences, paragraphs; full stops; words of long blocks; …"""
_NOT_LOWER = {code: " " for code in range(1, 128) if not chr(code).islower()}
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_ARTICLE = re.compile(r"article|blog|news|story|stories|single|opinion")
"""In the names of the body."""
_ADDRESS = re.compile(r"^\w+://[^/?#]*([^?#]*)")


def name_words(signatures: Sequence[tuple[str, str]]) -> Iterator[set[str]]:
    """Of elements' names and tags: the words that the names are made of, in lower case, and the tag."""
    # All names at once; NUL can stand between them, for parsers let none through.
    spaced = "\0".join([name for name, _ in signatures]).translate(_NOT_LOWER).split("\0")
    for (name, tag), parts in zip(signatures, spaced, strict=True):
        if name.islower() and name.isascii():  # As most are. The other way finds the same, more slowly.
            yield {"<" + tag, *parts.split()}
        else:
            yield {"<" + tag, *map(str.lower, _NAME_PART.findall(name))}


class Features(NamedTuple):
    """What is known of a page's blocks."""

    matrix: Floats
    """``[block, feature]``."""
    words: Floats
    """Of each block; those of scripts without spaces are estimated."""
    templates: Numbers
    """The same number for blocks that lie in elements of one tag and name within elements of one."""


def features(blocks: Blocks, url: str, names: Names) -> Features:
    """The features of a page that has blocks; ``url`` may be empty."""
    table = _Table(blocks, names)
    groups = (
        table.text(),
        table.place(),
        table.announced(),
        table.around(),
        table.elements(),
        table.neighbours(),
        table.page(url),
    )
    return Features(np.concatenate(groups, 1, dtype=np.float32), table.words, table.templates())


class _Elements:
    """Every element's numbers, as arrays by element."""

    def __init__(self, blocks: Blocks, names: Names) -> None:
        # What follows from names and tag is found once for all elements that are alike in them.
        numbers: dict[tuple[str, str], int] = {}
        pairs = zip(blocks.names, blocks.tags, strict=True)
        kinds = np.array([numbers.setdefault(pair, len(numbers)) for pair in pairs])
        signatures = list(numbers)
        self.alike = np.log1p(_floats(np.bincount(kinds)))[kinds]
        tags = np.array([_TAGS.get(tag, 0) for _, tag in signatures])[kinds]
        self.level, bits = np.divmod(tags, 1 << _LEVEL)
        self.in_paragraph = (bits & _BIT["p"]) > 0
        counts, parents = _integers(blocks.counts), _integers(blocks.parents)
        said = np.zeros((len(numbers), 3))
        spoken = np.flatnonzero(np.bincount(kinds, counts))  # of those around any block
        said[spoken] = names([signatures[kind] for kind in spoken.tolist()])
        said = said.take(kinds, 0)
        self.own = _floats(said[:, :2])
        self._from_above(parents, said, bits)
        self.children = np.log1p(_floats(np.bincount(parents[1:], minlength=len(parents))))
        self.parents = parents.clip(0)
        self.templates = kinds * len(numbers) + kinds[self.parents]
        self.firsts = _integers(blocks.firsts)
        self.stops = self.firsts + counts

    def _from_above(self, parents: Numbers, said: Numeric, bits: Numbers) -> None:
        """What elements share with those around them; every round looks twice as far up."""
        # Above the body is a last row that says nothing: -1 is its number and its own parent's.
        above = np.append(parents, -1)
        bits = np.append(bits, 0)
        extremes = np.append(said[:, :2] * (-1, 1), [(0, 0)], 0)
        sums = np.append(np.stack((said[:, 2], np.ones(len(said))), 1), [(0, 0)], 0)
        fading, fading_sums = _FADING, np.array((_FADING_SUM, 1))
        self._rounds = 0
        while above.max() >= 0:
            bits |= bits.take(above)
            extremes = np.maximum(extremes, fading * extremes.take(above, 0))
            sums += fading_sums * sums.take(above, 0)
            above = above.take(above)
            fading, fading_sums = fading**2, fading_sums**2
            self._rounds += 1
        self.bits = bits[:-1]
        depth = sums[:-1, 1:] - 1
        self.around = np.concatenate((depth, extremes[:-1] * (-1, 1), sums[:-1, :1]), 1, dtype=np.float32)
        """Depth; then the lowest, the highest and the sum of what is said."""

    def nearest(self, fits: NDArray[np.bool_]) -> Numbers:
        """Of each element, the nearest that fits of itself and those around it, or else the body."""
        nearest = np.where(fits, np.arange(len(fits)), self.parents)
        for _ in range(self._rounds):
            nearest = nearest[nearest]
        return nearest


class _Table:
    """The features of one page, group by group, each ``[block, feature]``."""

    def __init__(self, blocks: Blocks, names: Names) -> None:
        self._blocks = blocks
        self._count = len(blocks.texts)
        self._index = np.arange(self._count)
        self._measure_texts()
        self._owners = _integers(blocks.owners)
        self._elements = _Elements(blocks, names)
        self._levels = _floats(self._elements.level[self._owners])
        self._bits = self._elements.bits[self._owners]
        self._sum_up()

    def _measure_texts(self) -> None:
        texts = self._blocks.texts
        lengths = _integers(list(map(len, texts)))
        self._by_kind, self._ends = _characters(texts, lengths)
        words = self._by_kind[:, WORD] + _WORDS_PER_IDEOGRAPH * self._by_kind[:, IDEOGRAPH]
        self.words = np.maximum(words, 0.3).astype(np.float32)
        self._characters = _floats(lengths)
        self._links = np.minimum(_floats(self._blocks.linked) / self._characters, 1)

    def _sum_up(self) -> None:
        """Running sums over the blocks, and from them, what each element holds."""
        words, elements = self.words, self._elements
        columns = (
            words,
            words * self._links,
            words * (self._ends == 2),
            words * elements.in_paragraph[self._owners],
            self._by_kind[:, STOP],
            words * (words > 15),
            np.ones_like(words),
            self._by_kind[:, PRICE] > 0,
        )
        self._sums = np.zeros((self._count + 1, len(columns)))
        np.cumsum(np.array(columns).T, axis=0, out=self._sums[1:])
        self._total = self._sums[-1]
        held = self._sums.take(elements.stops, 0) - self._sums.take(elements.firsts, 0)
        self._held_words = held[:, _WORDS]
        inside = np.maximum(held[:, :1], 0.3)
        blocks = held[:, _BLOCKS, None]
        shares = held[:, _LINKED : _IN_LONG + 1] / inside
        amounts = (held[:, :1] / self._total[0], shares, inside / np.maximum(blocks, 1), np.log1p(blocks))
        self._container = np.concatenate(amounts, 1, dtype=np.float32)

    def templates(self) -> Numbers:
        """Which blocks are alike in the elements around them."""
        return np.unique(self._elements.templates[self._owners], return_inverse=True)[1]

    def text(self) -> Floats:
        """The block's own text."""
        copies = Counter(self._blocks.texts)
        return _columns(
            np.log1p(self.words),
            self._by_kind[:, UPPER] / self._characters,
            self._ends,
            _floats([copies[text] for text in self._blocks.texts]),
            self._links,
        )

    def place(self) -> Floats:
        """Where on the page the block stands, beside headings and running text."""
        index, levels = self._index, self._levels
        heading = np.maximum.accumulate(np.where(levels > 0, index, -1))
        running = np.flatnonzero((self.words > 20) & (self._links < 0.3))
        return _columns(
            index / self._count,
            np.log1p(self._count - index),
            np.log1p(index),
            self._sums[:-1, _WORDS] / self._total[_WORDS],
            levels,
            self._distance(np.flatnonzero(levels == 1)[:1], 100),
            np.minimum(index - heading, 100),
            np.where(heading >= 0, levels[heading], 9),
            self._distance(running[:1], 60),
            self._distance(running[-1:], 60),
        )

    def _distance(self, mark: Numbers, most: int) -> Numbers:
        """Blocks from a mark on, at most so many; if there is no mark, something else."""
        return np.clip(self._index - mark[0], -most, most) if len(mark) else np.full(self._count, -2 * most)

    def announced(self) -> Floats:
        """How many blocks ago each kind of section was announced last, at most so many."""
        # What is a link leads to such a section, on another page or on this.
        able = np.flatnonzero((self._characters <= LONGEST) & (self._links < 1))
        kinds = np.zeros(self._count, np.int64)
        kinds[able] = cues().announced([self._blocks.texts[block] for block in able.tolist()])
        said = (kinds[:, None] >> np.arange(len(cues().kinds))) & 1 > 0
        last = np.maximum.accumulate(np.where(said, self._index[:, None], -_LONG_AGO))
        return np.minimum(self._index[:, None] - last, _LONG_AGO).astype(np.float32)

    def around(self) -> Floats:
        """What kinds of elements the block lies in, and what their names say."""
        inside = (self._bits[:, None] >> np.arange(len(AROUND))) & 1
        elements, owners = self._elements, self._owners
        said = (elements.around.take(owners, 0), elements.own.take(owners, 0)[:, ::-1])
        return np.concatenate((inside, *said), 1, dtype=np.float32)

    def elements(self) -> Floats:
        """What elements around the block hold: the nearest four, the sixth, a middling and a large one."""
        elements, container, owners = self._elements, self._container, self._owners
        chain = [owners]
        for _ in range(5):
            chain.append(elements.parents[chain[-1]])
        above = np.array(chain).T
        groups = (
            container.take(above[:, (0, 1, 2, 3, 5)], 0).reshape(self._count, -1),
            elements.alike[above[:, :4]],
            elements.own.take(above[:, 1:4], 0).reshape(self._count, -1),
            self._nearest(_LARGE * self._total[_WORDS]),
            self._nearest(_MIDDLE),
            elements.children[above[:, 1:3]],
        )
        return np.concatenate(groups, 1)

    def _nearest(self, least: float) -> Floats:
        """Of the nearest element around each block with so many words: what it holds and how far it is."""
        elements, owners = self._elements, self._owners
        element = elements.nearest(self._held_words >= least)[owners]
        around, begin = elements.around.take(element, 0), elements.firsts[element]
        depth = elements.around[owners, :1] - around[:, :1]
        place = (self._index - begin) / np.maximum(elements.stops[element] - begin, 1)
        groups = (self._container.take(element, 0), around[:, 1:], depth, place[:, None])
        return np.concatenate(groups, 1, dtype=np.float32)

    def neighbours(self) -> Floats:
        """What is said of the two blocks before and the two behind; surroundings of 3, 8 and 20 blocks."""
        said = self._elements.around[self._owners, 3]
        padded = np.concatenate((np.zeros(2, np.float32), said, np.zeros(2, np.float32)))
        shifted = [padded[2 - by : 2 - by + self._count] for by in (1, 2, -1, -2)]
        reach = np.array((3, 8, 20))
        begin, end = self._index[:, None] - reach, self._index[:, None] + reach + 1
        held = self._sums.take(np.minimum(end, self._count), 0) - self._sums.take(np.maximum(begin, 0), 0)
        words = held[:, :, :1]
        groups = (np.log1p(words), held[:, :, _LINKED : _IN_PARAGRAPH + 1] / words)
        surroundings = np.concatenate(groups, 2, dtype=np.float32).reshape(self._count, -1)
        return np.concatenate((_columns(*shifted), surroundings), 1)

    def page(self, url: str) -> Floats:
        """The same for all blocks: how much there is of what on the page, and what kind of page it may be."""
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
        row = _floats([*amounts, *_address(url)])
        return np.broadcast_to(row, (count, len(row)))


def _address(url: str) -> tuple[int, int, int]:
    """Length of an address's path, its hyphens and digits; -1 without an address."""
    if not (address := _ADDRESS.match(url)):
        return -1, -1, -1
    path = address[1]
    return len(path), path.count("-"), sum(map(str.isdigit, path))


def _characters(texts: list[str], lengths: Numbers) -> tuple[Floats, Floats]:
    """Of each text: how many characters of each kind it has, of WORD those that begin one; and its end.

    The end is 2 if it is that of a sentence, 1 if it is that of a part of one, else 0.
    """
    classes, kinds, plain = _classes()
    codes = np.frombuffer("\n".join(["", *texts]).encode("utf-32-le", "replace"), np.uint32)
    found = classes.take(codes, mode="clip")
    stops = np.cumsum(lengths + 1)
    # Most characters are plain letters or blanks, and only of others need it be known which text they are in.
    rare = np.flatnonzero((found > 0) & (found != plain.start))
    cells = np.searchsorted(stops, rare, "right") * len(kinds) + found[rare]
    counts = np.bincount(cells, minlength=len(texts) * len(kinds)).reshape(len(texts), -1)
    by_kind = _floats(counts) @ kinds
    in_word = (found >= plain.start) & (found < plain.stop)
    begins = np.flatnonzero(in_word[1:] > in_word[:-1]) + 1
    by_kind[:, WORD] = np.bincount(np.searchsorted(stops, begins, "right"), minlength=len(texts))
    ends = np.where(kinds[:, STOP], np.float32(2), kinds[:, COMMA])
    return by_kind, ends[found[stops - 1]]


@cache
def _classes() -> tuple[NDArray[np.uint8], Floats, slice]:
    """A class for every character of the basic plane; ``[class, kind]``, 1 if it is of the kind; and those
    of words whose scripts have spaces.
    """
    bits = np.zeros(1 << 16, np.uint8)
    for code, character in enumerate(map(chr, range(1 << 16))):
        word = character.isalnum() or character == "_"
        bits[code] = word << WORD | character.isupper() << UPPER
    for kind, characters in _MARKS.items():
        bits[[ord(character) for character in characters]] |= 1 << kind
    for first, last in _UNSPACED:
        bits[first : last + 1] |= 1 << IDEOGRAPH
    distinct, classes = np.unique(bits, return_inverse=True)
    first, stop = np.searchsorted(distinct, (1 << WORD, 1 << IDEOGRAPH)).tolist()
    return classes.astype(np.uint8), _floats(distinct[:, None] >> np.arange(6) & 1), slice(first, stop)


def _integers(values: Sequence[int]) -> Numbers:
    return np.fromiter(values, np.int64, len(values))


def _floats(values: object) -> Floats:
    return np.array(values, np.float32)


def _columns(*rows: Numeric) -> Floats:
    return _floats(rows).T
