"""Real pages as patterns for many different ones: the words of their texts are replaced, all else stays.

Words are exchanged for words of other pages in the same language, with the same length and capitals, by a
bijection for each version of a page. So a version repeats its own words, lines and n-grams exactly where the
real page does, has the same function words, markup and punctuation, and filters decide about it much as about
the real one; but it has next to no shingle in common with another version.
"""

import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.filters import language
from pipeline.readers.record import Record
from pipeline.readers.warc import reader

FUNCTION_WORDS = 100
"""Most frequent words of a language, which stay."""
MAX_LENGTH = 24
"""Letters from which words are of one length. In scripts without spaces, a word is what is between signs."""
MULTIPLIERS = 50
NEAR_SHARE = 0.01
"""Share of the replaceable words that differ in a near copy: a Jaccard similarity of about .95."""

_MARKUP = re.compile(
    r"<script\b.*?</script\s*>|<style\b.*?</style\s*>|<!--.*?-->|<[^>]*>|&#?\w+;", re.DOTALL | re.IGNORECASE
)
_WORD = re.compile("[A-Za-z\u00c0-\u1fff\u2c00-\u2dff\u3040-\ud7ff\uf900-\ufaff]{4,}")
_SHOWN = 20_000
"""Characters of a page by which its language is identified."""

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RealPage:
    """A page, cut at its replaceable words: these are the pieces with odd numbers."""

    url: str
    content_type: str
    language: str
    pieces: list[str]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A page that is written again with other words."""

    url: str
    content_type: str
    pieces: list[bytes]
    """What stays, and the replaceable words at the odd positions."""
    slots: Numbers
    """For each replaceable word, which of ``members`` it is."""
    members: Numbers
    """The distinct words: the class of each."""
    positions: Numbers
    """... and its position in the class."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words by class: language, length and capitals."""

    words: list[bytes]
    starts: Numbers
    """The first word of each class in ``words``."""
    sizes: Numbers
    multipliers: NDArray[np.int64]
    """int64[classes, MULTIPLIERS]: numbers prime to the size of the class."""


def read_pages(paths: Sequence[Path]) -> Iterator[RealPage | None]:
    """Yield the HTML pages of WARC files; None for one that is not UTF-8 or has fewer than 50 words."""
    for path in paths:
        with path.open("rb") as stream:
            for item in reader.items(stream, 0, path.stat().st_size):
                if isinstance(item, Record) and item.media == "html" and isinstance(item.body, bytes):
                    yield _real_page(item.url, item.body)


def _real_page(url: str, body: bytes) -> RealPage | None:
    try:
        html = body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    pieces, fixed, shown, at = [], io.StringIO(), io.StringIO(), 0
    for markup in [*_MARKUP.finditer(html), None]:
        text = html[at : markup.start() if markup else len(html)]
        if shown.tell() < _SHOWN:
            shown.write(text)
        end = 0
        for word in _WORD.finditer(text):
            fixed.write(text[end : word.start()])
            pieces += [fixed.getvalue(), word[0]]
            fixed, end = io.StringIO(), word.end()
        fixed.write(text[end:])
        if markup:
            fixed.write(markup[0])
            at = markup.end()
    if len(pieces) < 100:
        return None
    code, _ = language.identify(" ".join(shown.getvalue().split()))
    return RealPage(url, "text/html", code, [*pieces, fixed.getvalue()])


def make_patterns(pages: Sequence[RealPage]) -> tuple[list[Pattern], Vocabulary]:
    """Collect the words of all pages into classes, and number the words of each page by them."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for page in pages:
        counts[page.language].update(page.pieces[1::2])
    classes: dict[tuple[str, int, int], dict[str, int]] = defaultdict(dict)
    kept = {}
    for code, words in counts.items():
        kept[code] = {word for word, _ in words.most_common(FUNCTION_WORDS)}
        for word in words:
            if word not in kept[code]:
                members = classes[_class(code, word)]
                members[word] = len(members)
    numbers = {key: number for number, key in enumerate(classes)}
    sizes = np.array([len(members) for members in classes.values()], np.int64)
    vocabulary = Vocabulary(
        words=[word.encode() for members in classes.values() for word in members],
        starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        sizes=sizes,
        multipliers=np.array([_primes_to(int(size)) for size in sizes]),
    )
    return [_pattern(page, kept[page.language], classes, numbers) for page in pages], vocabulary


def _class(code: str, word: str) -> tuple[str, int, int]:
    length = len(word.encode())
    if len(word) > MAX_LENGTH // 2:
        length = min(length & ~3, MAX_LENGTH)
    return code, length, 2 if word.isupper() else int(word[0].isupper())


def _primes_to(size: int) -> list[int]:
    found = [number for number in range(1, 4 * MULTIPLIERS) if math.gcd(number, size) == 1]
    return [found[number % len(found)] for number in range(MULTIPLIERS)]


def _pattern(
    page: RealPage,
    kept: set[str],
    classes: dict[tuple[str, int, int], dict[str, int]],
    numbers: dict[tuple[str, int, int], int],
) -> Pattern:
    pieces, slots = [page.pieces[0]], []
    distinct: dict[str, int] = {}
    for word, fixed in zip(page.pieces[1::2], page.pieces[2::2], strict=True):
        if word in kept:
            pieces[-1] += word + fixed
        else:
            slots.append(distinct.setdefault(word, len(distinct)))
            pieces += [word, fixed]
    keys = [_class(page.language, word) for word in distinct]
    return Pattern(
        url=page.url,
        content_type=page.content_type,
        pieces=[piece.encode() for piece in pieces],
        slots=np.array(slots, np.int64),
        members=np.array([numbers[key] for key in keys], np.int64),
        positions=np.array([classes[key][word] for key, word in zip(keys, distinct, strict=True)], np.int64),
    )


def version(pattern: Pattern, vocabulary: Vocabulary, seed: Sequence[int], near_copy: int = 0) -> bytes:
    """Return a version of a page, determined by the seed.

    ``near_copy``: number of the near copy, in which some more words are replaced; 0: the version itself.
    """
    rng = np.random.default_rng(seed)
    shifts = rng.integers(0, vocabulary.sizes)
    chosen = rng.integers(0, MULTIPLIERS, len(vocabulary.sizes))
    factors = vocabulary.multipliers[np.arange(len(chosen)), chosen]
    classes = pattern.members
    positions = (pattern.positions * factors[classes] + shifts[classes]) % vocabulary.sizes[classes]
    words = [vocabulary.words[number] for number in (vocabulary.starts[classes] + positions).tolist()]
    pieces = pattern.pieces.copy()
    pieces[1::2] = [words[slot] for slot in pattern.slots.tolist()]
    if near_copy:
        rng = np.random.default_rng([*seed, near_copy])
        changed = np.flatnonzero(rng.random(len(pattern.slots)) < NEAR_SHARE)
        classes = pattern.members[pattern.slots[changed]]
        others = vocabulary.starts[classes] + rng.integers(0, vocabulary.sizes[classes])
        for at, other in zip(changed.tolist(), others.tolist(), strict=True):
            pieces[2 * at + 1] = vocabulary.words[other]
    return b"".join(pieces)
