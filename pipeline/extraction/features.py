"""What the model is told of each block: text, place, the elements around it, neighbours, page.

An element's blocks are neighbours, so that whatever is summed over elements or surroundings is a difference
of two running sums.
"""

import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.extraction.blocks import Blocks

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Row = NDArray[Any]
"""A value per block, of any numeric type."""
Names = Callable[[str, str], tuple[float, float, float]]
"""What an element's names and tag say of it: lowest, highest and mean score of its words."""

WORD, UPPER, DIGIT, STOP, COMMA, IDEOGRAPH, PRICE, MARK = (1 << bit for bit in range(8))
"""Kinds of characters."""
_MARKS = {STOP: ".!?。！？…؟।", COMMA: ",;:،、，；：", PRICE: "$€£¥₹₽", MARK: "|©›»→"}
_UNSPACED = ((0x0E00, 0x0EFF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
"""Scripts without spaces between words: Thai and Lao, kana, Han."""
_WORDS_PER_IDEOGRAPH = 0.6

AROUND = (
    *("nav", "header", "footer", "aside", "form", "table", "li", "article", "main", "figure", "dialog"),
    *("button", "p", "pre", "blockquote", "dd", "td", "noscript", "label", "section", "details"),
)
"""Tags that a block may lie in, however deep; then whether it is hidden."""
_BIT = {tag: 1 << place for place, tag in enumerate(AROUND)}
_HIDDEN = 1 << len(AROUND)
_FRAME = _BIT["nav"] | _BIT["header"] | _BIT["footer"]
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_LARGE, _MIDDLE = 0.25, 80.0
"""To a block matter the nearest element with this share of the page's words, and that with so many words."""
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_KINDS = tuple(
    map(
        re.compile,
        (
            r"product|/dp/|/p/|/item|/itm|/gp/|sku|/listing/",
            r"collection|categor|/shop|/c/|/b/|catalog|archive|/tag|search|/s\?|/best",
            r"forum|thread|/t/|question|discuss|communit|topic|viewtopic|comment|/post|/r/",
            r"article|blog|news|story|stories|single|/20\d\d/|opinion",
            r"docs?\b|documentation|reference|manual|guide|wiki|learn|tutorial|api|help",
            r"service|solution|pricing|about|compan|agency|feature|platform|home\b|landing",
        ),
    )
)
"""Kinds of pages by words in their addresses, in what they declare, and in the names of their bodies."""
_ADDRESS = re.compile(r"^\w+://([^/?#]*)([^?#]*)(\??)")


def name_words(name: str, tag: str) -> set[str]:
    """The words that classes, ids and roles are made of, in lower case, and the tag."""
    return {"<" + tag, *(part.lower() for part in _NAME_PART.findall(name) if len(part) > 1)}


def features(blocks: Blocks, url: str, names: Names) -> tuple[Floats, Floats]:
    """The features ``[block, feature]`` of a page that has blocks, and each block's words.

    ``url`` may be empty. Words of scripts without spaces are estimated.
    """
    table = _Table(blocks, names)
    rows: list[Row | float] = [
        *table.text(),
        *table.place(),
        *table.around(),
        *table.elements(),
        *table.neighbours(),
        *table.page(url),
    ]
    matrix = np.empty((len(rows), len(table.words)), np.float32)
    for place, row in enumerate(rows):
        matrix[place] = row
    return np.ascontiguousarray(matrix.T), table.words


class _Elements:
    """Every element's numbers, as arrays by element."""

    def __init__(self, blocks: Blocks, names: Names) -> None:
        size = len(blocks.tags)
        bits, depth, order, children = [0] * size, [0] * size, [0] * size, [0] * size
        low, high, total = [0.0] * size, [0.0] * size, [0.0] * size
        own: list[tuple[float, float, float]] = []
        signatures = list(zip(blocks.tags, blocks.names, strict=True))
        for element, (parent, (tag, name)) in enumerate(zip(blocks.parents, signatures, strict=True)):
            worst, best, mean = said = names(name, tag)
            own.append(said)
            bit = _BIT.get(tag, 0) | (_HIDDEN if blocks.hidden[element] else 0)
            if parent < 0:
                bits[element], low[element], high[element], total[element] = bit, worst, best, mean
                continue
            bits[element] = bits[parent] | bit
            depth[element] = depth[parent] + 1
            # What is said of an element counts less, the further in.
            low[element] = min(worst, 0.97 * low[parent])
            high[element] = max(best, 0.97 * high[parent])
            total[element] = 0.9 * total[parent] + mean
            order[element] = children[parent]
            children[parent] += 1
        alike = Counter(signatures)
        self.bits = np.array(bits, np.int64)
        self.depth, self.low, self.high, self.total = (_floats(each) for each in (depth, low, high, total))
        self.order = np.minimum(_floats(order), 50)
        self.children = np.log1p(_floats(children))
        self.alike = np.log1p(_floats([alike[signature] for signature in signatures]))
        self.own_low, self.own_high, _ = _floats(own).T
        self.firsts = np.array(blocks.firsts)
        self.stops = self.firsts + np.array(blocks.counts)
        self.parents = np.array(blocks.parents).clip(0)


class _Table:
    """The features of one page, group by group; each row has a value per block."""

    def __init__(self, blocks: Blocks, names: Names) -> None:
        self._blocks = blocks
        self._count = len(blocks.texts)
        self._index = np.arange(self._count)
        self._measure_texts()
        self._owners: Numbers = np.array(blocks.owners, np.int64)
        self._elements = _Elements(blocks, names)
        levels = [
            int(tag[1]) if tag in _HEADINGS else 0 for tag in map(blocks.tags.__getitem__, blocks.owners)
        ]
        self._levels = _floats(levels)
        self._bits = self._elements.bits[self._owners]
        self._sum_up()

    def _measure_texts(self) -> None:
        blocks = self._blocks
        kinds, firsts, lengths = _characters(blocks.texts)
        plain = (kinds & (WORD | IDEOGRAPH)) == WORD
        begins = plain.copy()
        begins[1:] &= ~plain[:-1]

        def count(flags: NDArray[np.bool_]) -> Floats:
            return np.add.reduceat(flags, firsts, dtype=np.int64).astype(np.float32)

        self._by_kind = {kind: count((kinds & kind) > 0) for kind in (UPPER, DIGIT, STOP, COMMA, PRICE, MARK)}
        words = count(begins) + _WORDS_PER_IDEOGRAPH * count((kinds & IDEOGRAPH) > 0)
        self.words = np.maximum(words, 0.3).astype(np.float32)
        last = kinds[firsts + lengths - 1]
        self._ends = np.where(last & STOP, 2, np.where(last & COMMA, 1, 0)).astype(np.float32)
        self._characters = lengths.astype(np.float32)
        self._links = np.minimum(_floats(blocks.linked) / self._characters, 1)

    def _sum_up(self) -> None:
        """Running sums over the blocks, and from them, what each element holds."""
        words, elements = self.words, self._elements
        in_paragraph = _floats([self._blocks.tags[owner] == "p" for owner in self._blocks.owners])
        columns = (
            words,
            words * self._links,
            words * (self._ends == 2),
            np.ones_like(words),
            words * in_paragraph,
            self._by_kind[PRICE] > 0,
            self._by_kind[STOP],
            words * (words > 15),
        )
        self._sums = np.zeros((self._count + 1, len(columns)))
        np.cumsum(np.stack(columns, 1), axis=0, out=self._sums[1:])
        self._total = self._sums[-1]
        held = self._sums[elements.stops] - self._sums[elements.firsts]
        self._held_words = held[:, 0]
        inside = np.maximum(held[:, 0], 0.3)
        self._container = np.stack(
            (
                held[:, 0] / self._total[0],
                *(held[:, column] / inside for column in (1, 2, 4, 6, 7)),
                inside / np.maximum(held[:, 3], 1),
                np.log1p(held[:, 3]),
            )
        ).astype(np.float32)

    def text(self) -> list[Row]:
        """The block's own text."""
        characters, words = self._characters, self.words
        copies = Counter(self._blocks.texts)
        return [
            np.log1p(words),
            characters / words,
            self._by_kind[COMMA] / words,
            self._by_kind[STOP] / words,
            self._by_kind[UPPER] / characters,
            self._by_kind[DIGIT] / characters,
            self._ends,
            self._by_kind[PRICE],
            self._by_kind[MARK],
            _floats([copies[text] for text in self._blocks.texts]),
            self._links,
            np.minimum(_floats(self._blocks.bold) / characters, 1),
        ]

    def place(self) -> list[Row]:
        """Where on the page the block stands, beside headings and running text."""
        index, levels = self._index, self._levels
        heading = np.maximum.accumulate(np.where(levels > 0, index, -1))
        running = np.flatnonzero((self.words > 20) & (self._links < 0.3))
        return [
            index / self._count,
            np.log1p(self._count - index),
            np.log1p(index),
            self._sums[:-1, 0] / self._total[0],
            levels,
            self._distance(np.flatnonzero(levels == 1)[:1], 100),
            np.minimum(index - heading, 100),
            np.where(heading >= 0, levels[heading], 9),
            self._distance(running[:1], 60),
            self._distance(running[-1:], 60),
        ]

    def _distance(self, mark: Numbers, most: int) -> Numbers:
        """Blocks from a mark on, at most so many; if there is no mark, something else."""
        return np.clip(self._index - mark[0], -most, most) if len(mark) else np.full(self._count, -2 * most)

    def around(self) -> list[Row]:
        """What kinds of elements the block lies in, and what their names say."""
        elements, owners = self._elements, self._owners
        inside = (self._bits >> np.arange(len(AROUND) + 1)[:, None]) & 1
        said = (
            elements.depth,
            elements.low,
            elements.high,
            elements.total,
            elements.own_high,
            elements.own_low,
        )
        return [*inside, *(each[owners] for each in said)]

    def elements(self) -> list[Row]:
        """What elements around the block hold: the nearest four, the sixth, a middling and a large one."""
        elements, owners = self._elements, self._owners
        parents = elements.parents
        first = parents[owners]
        second = parents[first]
        third = parents[second]
        rows: list[Row] = []
        for element in (owners, first, second, third, parents[parents[third]]):
            rows += [*self._container[:, element]]
        rows += [elements.alike[element] for element in (owners, first, second, third)]
        for element in (first, second, third):
            rows += [elements.own_low[element], elements.own_high[element]]
        for least in (_LARGE * self._total[0], _MIDDLE):
            element = self._nearest(least)
            begin, end = elements.firsts[element], elements.stops[element]
            rows += [*self._container[:, element]]
            rows += [each[element] for each in (elements.low, elements.high, elements.total)]
            rows.append(elements.depth[owners] - elements.depth[element])
            rows.append((self._index - begin) / np.maximum(end - begin, 1))
        orders = (elements.order[owners], elements.order[first])
        return [*rows, *orders, elements.children[first], elements.children[second]]

    def _nearest(self, least: float) -> Numbers:
        """For each block, the nearest element around it with at least so many words, or else the body."""
        nearest = [0] * len(self._held_words)
        words = self._held_words.tolist()
        for element, parent in enumerate(self._blocks.parents[1:], 1):
            nearest[element] = element if words[element] >= least else nearest[parent]
        return np.array(nearest, np.int64)[self._owners]

    def neighbours(self) -> list[Row]:
        """The two blocks before, the two behind, and surroundings of 3, 8 and 20 blocks to each side."""
        elements, index = self._elements, self._index
        named, depth, words = elements.total[self._owners], elements.depth[self._owners], np.log1p(self.words)
        rows: list[Row] = []
        for by in (1, 2, -1, -2):
            rows += [_shift(row, by, -1) for row in (words, self._links, self._levels, self._ends)]
            rows += [_shift(named, by, 0), depth - _shift(depth, by, 0)]
        for reach in (3, 8, 20):
            until = np.minimum(index + reach + 1, self._count)
            held = self._sums[until] - self._sums[np.maximum(index - reach, 0)]
            rows.append(np.log1p(held[:, 0]))
            rows += [held[:, column] / held[:, 0] for column in (1, 2, 4)]
            rows.append(held[:, 5] / held[:, 3])
        return rows

    def page(self, url: str) -> list[float]:
        """The same for all blocks: how much there is of what on the page, and what kind of page it may be."""
        total, count, tags = self._total, self._count, self._blocks.tags
        words = total[0]

        def share(bit: int) -> float:
            return float(((self._bits & bit) > 0).mean())

        in_frame = float((self.words * ((self._bits & _FRAME) > 0)).sum())
        amounts = [np.log1p(words), np.log1p(count), words / count, total[5] / count]
        amounts += [total[column] / words for column in (1, 2, 4, 7)]
        amounts += [np.log1p((self._levels > 0).sum()), (self._levels == 2).mean(), (self._levels == 1).sum()]
        amounts += [share(_BIT["li"]), share(_BIT["table"]), in_frame / words]
        amounts += [np.log1p(tags.count("article")), tags.count("main")]
        return [*map(float, amounts), *_kinds(self._blocks, url)]


def _kinds(blocks: Blocks, url: str) -> list[float]:
    """What kinds of page address, body and declarations speak of, and the address's form; -1 without one."""
    sources = (url.lower(), blocks.names[0].lower(), blocks.types.lower())
    spoken = [float(bool(kind.search(source))) for source in sources for kind in _KINDS]
    if not (address := _ADDRESS.match(url)):
        return [*([-1.0] * len(_KINDS)), *spoken[len(_KINDS) :], *([-1.0] * 5)]
    path = address.group(2)
    steps = sum(map(bool, path.split("/")))
    digits = sum(map(str.isdigit, path))
    return [*spoken, *map(float, (steps, len(path), path.count("-"), digits, bool(address.group(3))))]


def _characters(texts: list[str]) -> tuple[NDArray[np.uint8], Numbers, Numbers]:
    """The kinds of all characters of all texts, and of each text where it begins and how long it is."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    firsts = np.concatenate(([0], np.cumsum(lengths[:-1] + 1)))
    codes = np.frombuffer("\n".join(texts).encode("utf-32-le", "replace"), np.uint32)
    return _table()[np.minimum(codes, 0xFFFF)], firsts, lengths


@cache
def _table() -> NDArray[np.uint8]:
    """The kinds of every character of the basic plane."""
    table = np.zeros(1 << 16, np.uint8)
    for code, character in enumerate(map(chr, range(1 << 16))):
        word = WORD if character.isalnum() or character == "_" else 0
        table[code] = word | UPPER * character.isupper() | DIGIT * character.isdigit()
    for kind, characters in _MARKS.items():
        table[[ord(character) for character in characters]] |= kind
    for first, last in _UNSPACED:
        table[first : last + 1] |= IDEOGRAPH
    return table


def _floats(values: object) -> Floats:
    return np.array(values, np.float32)


def _shift(row: Floats, by: int, outside: float) -> Floats:
    """Each block's value of the block ``by`` places before it."""
    shifted = np.full(len(row), outside, np.float32)
    if by > 0:
        shifted[by:] = row[:-by]
    else:
        shifted[:by] = row[-by:]
    return shifted
