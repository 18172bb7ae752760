"""Index of the word n-grams of evaluation sets, as NumPy arrays that are cheap to send to every task.

A text is represented by the n-grams of the largest configured size that it is long enough for. n-grams that
do not identify an item are left out:

- those with fewer different words than half their length. Numbers are one word, so these are calculations,
  lists of quantities, and single words repeated;
- those of more than ``MAX_ITEMS`` items: instructions and templates that the sets repeat.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from core.hashing import Hashes
from pipeline.analysis import Flags, Positions, ngram_hashes, nonzero_indices
from pipeline.analysis.arrays import changes
from pipeline.analysis.normalized import NormalizedWords, normalized_words
from pipeline.decontamination.evaluation_sets import EvaluationSet

MAX_ITEMS = 100
"""Reading comprehension asks up to some tens of questions on one passage, which should still be found."""
_MAX_FLAG_BITS = 24

Items = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One set: what is searched for, and what is not."""

    name: str
    path: str
    items: int
    unusable_lines: int
    short_texts: int
    """Texts with fewer words than the smallest n-gram."""
    too_short: int
    """Items that are not searched for because all their texts are short."""
    unspecific: int
    """Items that are not searched for because all their n-grams are left out."""


@dataclass(frozen=True, eq=False)
class NgramTable:
    """The n-grams of one size."""

    n: int
    hashes: Hashes
    """uint64[n-grams], sorted, each once."""
    first: int
    """Number of the first n-gram: they are numbered through all tables."""

    def find(self, words: NormalizedWords) -> tuple[Positions, Positions]:
        """Return the numbers of the n-grams that occur in the texts of a batch, and their first words.

        First words are indices into the words of the batch, ascending.
        """
        hashes = ngram_hashes(words.hashes, self.n)
        flags, shift = self._flags
        positions = nonzero_indices(flags.take((hashes >> shift).view(np.int64)))
        found = self.hashes.searchsorted(hashes[positions])
        # There is no hash above the last: the search for one is sent to the first, which is smaller.
        found[found == len(self.hashes)] = 0
        equal = self.hashes.take(found) == hashes[positions]
        found, positions = found[equal], positions[equal]
        within = positions + self.n <= words.offsets[text_of_word(words, positions) + 1]
        return found[within] + self.first, positions[within]

    @cached_property
    def _flags(self) -> tuple[Flags, np.uint64]:
        """Which first bits the hashes have, and the shift that leaves these bits of a hash.

        Most n-grams of a text have other first bits, and need no search.
        """
        bits = min(max(len(self.hashes).bit_length() + 4, 10), _MAX_FLAG_BITS)
        shift = np.uint64(64 - bits)
        flags = np.zeros(1 << bits, np.bool_)
        flags[(self.hashes >> shift).view(np.int64)] = True
        return flags, shift


@dataclass(frozen=True, eq=False)
class EvaluationIndex:
    """The n-grams of all sets, and the items that contain them; items are numbered through all sets.

    20 bytes per n-gram and 12 per item; a question of 50 words and its answer have about 80 n-grams.
    """

    sets: tuple[SetSummary, ...]
    content: str
    """SHA-256 of names and contents of the sets, hexadecimal: part of the fingerprint of a run."""
    tables: tuple[NgramTable, ...]
    offsets: Positions
    """int64[n-grams + 1]: n-gram ``i`` is in the items ``items[offsets[i]:offsets[i + 1]]``."""
    items: Items
    set_of_item: Items
    line_of_item: Items
    ngrams_of_item: Items
    """Different n-grams of each item; 0 for items that are not searched for."""


def text_of_word(words: NormalizedWords, positions: Positions) -> Positions:
    """Return which text of a batch each word belongs to."""
    return words.offsets.searchsorted(positions, "right") - 1


def build(sets: Sequence[EvaluationSet], sizes: Sequence[int]) -> EvaluationIndex:
    """Index the n-grams of evaluation sets; ``sizes``: words per n-gram, in descending order."""
    items = [item for each in sets for item in each.items]
    item_of_text = np.repeat(np.arange(len(items)), [len(item.texts) for item in items])
    words = normalized_words([text for item in items for text in item.texts])
    lengths = np.diff(words.offsets)
    size_of_text = np.zeros(len(lengths), np.int64)
    for n in reversed(sizes):
        size_of_text[lengths >= n] = n
    found = [_ngrams(n, words, size_of_text == n, item_of_text) for n in sizes]
    firsts = accumulate((len(hashes) for hashes, _, _ in found), initial=0)
    items_of_ngrams = np.concatenate([numbers for _, _, numbers in found])
    ngrams_of_item = np.bincount(items_of_ngrams, minlength=len(items))
    set_of_item = np.repeat(np.arange(len(sets)), [len(each.items) for each in sets])
    return EvaluationIndex(
        tuple(_summaries(sets, set_of_item, item_of_text, size_of_text == 0, ngrams_of_item > 0)),
        hashlib.sha256("".join(f"{each.name} {each.sha256}\n" for each in sets).encode()).hexdigest(),
        tuple(
            NgramTable(n, hashes, first)
            for n, (hashes, _, _), first in zip(sizes, found, firsts, strict=False)
        ),
        np.append(0, np.cumsum(np.concatenate([counts for _, counts, _ in found]))),
        items_of_ngrams.astype(np.int32),
        set_of_item.astype(np.int32),
        np.fromiter((item.line for item in items), np.int32, len(items)),
        ngrams_of_item.astype(np.int32),
    )


def _summaries(
    sets: Sequence[EvaluationSet],
    set_of_item: Positions,
    item_of_text: Positions,
    text_is_short: Flags,
    item_has_ngrams: Flags,
) -> Iterator[SetSummary]:
    """Yield the summary of each set."""
    item_is_long = np.zeros(len(set_of_item), np.bool_)
    item_is_long[item_of_text[~text_is_short]] = True
    left_out = (
        set_of_item[item_of_text[text_is_short]],
        set_of_item[~item_is_long],
        set_of_item[item_is_long & ~item_has_ngrams],
    )
    counts = np.array([np.bincount(numbers, minlength=len(sets)) for numbers in left_out])
    for each, numbers in zip(sets, counts.T.tolist(), strict=True):
        yield SetSummary(each.name, each.path, len(each.items), each.unusable_lines, *numbers)


def _ngrams(
    n: int, words: NormalizedWords, chosen: Flags, item_of_text: Positions
) -> tuple[Hashes, Positions, Positions]:
    """Return the n-grams of the chosen texts: hashes, sorted; number of items of each; and these items."""
    starts = nonzero_indices(_distinct_words(words.hashes, n) * 2 >= n)
    texts = text_of_word(words, starts)
    within = chosen[texts] & (starts + n <= words.offsets[texts + 1])
    hashes, items = ngram_hashes(words.hashes, n)[starts[within]], item_of_text[texts[within]]
    order = np.lexsort((items, hashes))
    hashes, items = hashes[order], items[order]
    distinct = changes(hashes, items)
    hashes, counts = np.unique(hashes[distinct], return_counts=True)
    kept = counts <= MAX_ITEMS
    return hashes[kept], counts[kept], items[distinct][np.repeat(kept, counts)]


def _distinct_words(hashes: Hashes, n: int) -> Positions:
    """Return the number of different words in every ``n`` successive ones."""
    order = hashes.argsort(kind="stable")
    previous = np.full(len(hashes), -1)
    repeats = hashes[order[1:]] == hashes[order[:-1]]
    previous[order[1:][repeats]] = order[:-1][repeats]
    # A word counts where it occurs for the first time within the n-gram.
    starts = np.arange(max(len(hashes) - n + 1, 0))
    counts = np.zeros(len(starts), np.int64)
    for position in range(n):
        counts += previous[position : position + len(starts)] < starts
    return counts
