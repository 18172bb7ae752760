"""Real texts with perturbed copies, whose true similarity is computed in plain Python."""

import random
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.analysis.normalized import normalized_words
from pipeline.training import texts as raw_texts

SHINGLE = 5
"""Words per shingle."""
CHAIN = 4
"""Documents of a chain, each a copy of the one before."""
CHAIN_SHARE = 0.15
"""Share of the documents that belong to chains."""
LEAST = 0.05
"""Least similarity that is aimed at."""

Pair = tuple[int, int]
Units = list[str]
"""Words with the white space after them, or characters of a text without spaces."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, and the pairs of which one is a copy of the other and has no other copy."""

    texts: list[str]
    pairs: list[Pair]


def passages(paths: Sequence[str], drawn: random.Random) -> list[Units]:
    """Cut the distinct texts at the paths into passages of 250 to 400 words, in random order."""
    texts = dict.fromkeys(text for path in paths for text in raw_texts.documents(path))
    found = []
    for text in texts:
        units = re.findall(r"\S+\s*", text)
        if len(text) > 20 * len(units):
            units = list(text)
        while len(units) >= 250:
            length = drawn.randint(250, 400)
            found.append(units[:length])
            units = units[length:]
    drawn.shuffle(found)
    return found


def make_corpus(found: Sequence[Units], size: int, drawn: random.Random) -> Corpus:
    """Make ``size`` documents of the first passages; what perturbs them comes from the last ones."""
    chains = round(size * CHAIN_SHARE / CHAIN)
    originals = (size - chains * CHAIN) // 2 + chains
    if originals + 1000 > len(found):
        raise SystemExit(f"{len(found):,} passages are too few for {size:,} documents")
    other = found[originals:]
    texts: list[str] = []
    pairs: list[Pair] = []
    for number, units in enumerate(found[:originals]):
        texts.append("".join(units))
        for _ in range(CHAIN - 1 if number < chains else 1):
            units = perturb(units, drawn.uniform(LEAST, 1), other, drawn)
            texts.append("".join(units))
        if number >= chains:
            pairs.append((len(texts) - 2, len(texts) - 1))
    return Corpus(texts, pairs)


def perturb(units: Units, similarity: float, other: Sequence[Units], drawn: random.Random) -> Units:
    """Change a text so that its similarity to the original is about the given one."""
    kind = drawn.randrange(4)
    if kind == 0:
        return remove(units, similarity, drawn)
    if kind == 1:
        return reorder(units, similarity, drawn)
    if kind == 2 and similarity > 0.3:  # below, the copy would become too long
        return extend(units, similarity, other, drawn)
    return replace(units, similarity, other, drawn)


def replace(units: Units, similarity: float, other: Sequence[Units], drawn: random.Random) -> Units:
    """Replace single words by other words: a shingle survives if none of its words is replaced."""
    share = 1 - (2 * similarity / (1 + similarity)) ** (1 / SHINGLE)
    return [drawn.choice(drawn.choice(other)) if drawn.random() < share else unit for unit in units]


def remove(units: Units, similarity: float, drawn: random.Random) -> Units:
    """Remove a span."""
    length = round(len(units) * (1 - similarity))
    start = drawn.randint(0, len(units) - length)
    return units[:start] + units[start + length :]


def extend(units: Units, similarity: float, other: Sequence[Units], drawn: random.Random) -> Units:
    """Put other text before or after it."""
    added: Units = []
    while len(added) < (wanted := round(len(units) * (1 / similarity - 1))):
        added += drawn.choice(other)
    return drawn.choice((added[:wanted] + units, [*units, "\n", *added[:wanted]]))


def reorder(units: Units, similarity: float, drawn: random.Random) -> Units:
    """Shuffle the parts between random cuts: each cut ends the shingles that span it."""
    count = round(len(units) * (1 - similarity) / (1 + similarity) / (SHINGLE - 1))
    cuts = sorted(drawn.sample(range(1, len(units)), count))
    edges = [0, *cuts, len(units)]
    parts = [units[start:end] for start, end in pairwise(edges)]
    drawn.shuffle(parts)
    return [unit for part in parts for unit in part]


class Similarity:
    """True Jaccard similarity of documents, by sets of tuples of words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._shingles: dict[int, frozenset[tuple[str, ...]]] = {}

    def __call__(self, first: int, second: int) -> float:
        one, two = self._of(first), self._of(second)
        if not one | two:  # both are shorter than a shingle, and only compared exactly
            return float(self._texts[first].split() == self._texts[second].split())
        return len(one & two) / len(one | two)

    def is_short(self, number: int) -> bool:
        """True if a text has no shingle."""
        return not self._of(number)

    def _of(self, number: int) -> frozenset[tuple[str, ...]]:
        if number not in self._shingles:
            words = plain_words(self._texts[number])
            shingles = zip(*(words[offset:] for offset in range(SHINGLE)), strict=False)
            self._shingles[number] = frozenset(shingles)
        return self._shingles[number]


def plain_words(text: str) -> list[str]:
    """Return the words of a text in lower case, with numbers as 0 and without combining marks."""
    spans = normalized_words([text])
    words = (text[start:end].lower() for start, end in zip(spans.starts, spans.ends, strict=True))
    return [strip_marks(re.sub(r"\d+([.,،٫]\d+)?", "0", word)) for word in words]


def strip_marks(word: str) -> str:
    """Return a word without accents and invisible characters."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(each for each in decomposed if unicodedata.category(each) not in ("Mn", "Cf"))
