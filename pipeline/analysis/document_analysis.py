"""The analysis of texts, which every filter and MinHash read.

Tokens follow the rules of spaCy's English tokenizer (``words.py``), by which datatrove counts words. In
scripts written without spaces (Han, Kana, Thai, Lao, Khmer, Burmese) every letter is a word: always in
``words``, which MinHash shingles, and optionally in ``tokens``.

Texts are analysed together, joined by newlines, since array operations on one short text cost more in calls
than in work. What is found in a text does not depend on the others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from core.hashing import Hashes
from pipeline.analysis.arrays import (
    Codes,
    Flags,
    Groups,
    Positions,
    code_points,
    nonzero_indices,
    prefix_counts,
)
from pipeline.analysis.characters import LETTER, UNSPACED, WORDLIKE, CharClasses, character_table
from pipeline.analysis.hashes import prefix_sums, span_hashes
from pipeline.analysis.segments import Segments, find_segments, token_boundaries, unspaced_boundaries
from pipeline.analysis.spans import Lines, Spans, newline_lines, paragraphs, split_lines

BATCH_CHARACTERS = 1 << 17
"""Characters of texts that are analysed together: their arrays fit into a processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Tokens, words, lines and paragraphs of texts. Arrays run over tokens or lines of all texts, in order.

    Positions are offsets into ``text``. Each kind of span is grouped by text.
    """

    texts: Sequence[str]
    text: str
    """The texts, joined by newlines."""
    text_starts: Positions
    text_ends: Positions
    codes: Codes
    """The code points of ``text``."""
    char_classes: CharClasses
    """Bitmask of character classes per code point; see ``characters.py``."""
    prefix: Hashes
    """Prefix sums of the code points, from which spans are hashed."""
    segments: Segments
    """The parts between white space."""
    segment_groups: Groups
    tokens: Spans
    """Words and symbols; hashes are case-sensitive."""
    token_groups: Groups
    is_word: Flags
    """Per token: True if it contains a letter, number or mark."""
    has_letter: Flags
    """Per token."""
    words: Spans
    """The tokens that are words, one per letter in scripts without spaces; hashes are of the lower case."""
    word_groups: Groups
    lines: Spans
    """The parts between newlines: in each text, one more than there are newlines."""
    line_groups: Groups
    line_segments: Positions
    """Segments per line: none if it is empty or white space only."""
    split_lines: Lines
    """The lines of ``str.splitlines``, which breaks at more characters and not after the last one."""
    split_line_groups: Groups
    paragraphs: Spans
    """The parts of each stripped text between two or more newlines in a row; at least one per text."""
    paragraph_groups: Groups

    @property
    def line_is_blank(self) -> Flags:
        """Per line: True if it is empty or white space only."""
        blank: Flags = self.line_segments == 0
        return blank

    @property
    def word_hashes(self) -> Hashes:
        """The hashes that MinHash shingles."""
        return self.words.hashes

    def word_hashes_of(self, index: int) -> Hashes:
        """Return the hashes of one text's words."""
        return self.words.hashes[self.word_groups.bounds[index] : self.word_groups.bounds[index + 1]]

    def selected_lines(self, numbers: Positions) -> Spans:
        """Return the ``split_lines`` with the given numbers, stripped. None of them may be blank."""
        starts = self.segments.starts[self.split_lines.first_segment[numbers]]
        ends = self.segments.ends[self.split_lines.end_segment[numbers] - 1]
        return Spans(starts, ends, span_hashes(self.prefix, starts, ends))

    def stripped_lines(self, numbers: Positions) -> list[str]:
        """Return the text of the ``split_lines`` with the given numbers, none of them blank, stripped."""
        starts = self.segments.starts[self.split_lines.first_segment[numbers]].tolist()
        ends = self.segments.ends[self.split_lines.end_segment[numbers] - 1].tolist()
        return [self.text[start:end] for start, end in zip(starts, ends, strict=True)]

    def lowered(self) -> str:
        """Return ``text`` in lower case, with the same offsets: a dotted I becomes an i without its dot.

        It is the only character whose lower case is longer.
        """
        return self.text.replace("\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "i").lower()


def analyse(text: str, *, split_unspaced: bool = True) -> Analysis:
    """Analyse one text of any length, lone surrogates included; see :func:`analyse_together`."""
    return analyse_together([text], split_unspaced=split_unspaced)


def analyse_together(texts: Sequence[str], *, split_unspaced: bool = True) -> Analysis:
    """Analyse texts, of which there must be at least one.

    ``split_unspaced``: if True, tokens of scripts without spaces are single letters; otherwise they end at
    punctuation only. Memory is some 100 bytes a character: take texts in :func:`batches`.
    """
    text = "\n".join(texts)
    codes = code_points(text)
    text_starts = np.fromiter(accumulate((len(each) + 1 for each in texts), initial=0), np.int64)
    text_starts, text_ends = text_starts[:-1], text_starts[1:] - 1
    classes = character_table().classes.take(codes)
    prefix = prefix_sums(codes)
    segments = find_segments(classes)
    boundaries = np.zeros(len(codes) + 1, np.bool_)
    boundaries[token_boundaries(text, codes, classes, prefix, segments)] = True
    words = tokens = _token_spans(boundaries, segments)
    if (classes & UNSPACED).any():
        boundaries[unspaced_boundaries(classes)] = True
        words = _token_spans(boundaries, segments)
        tokens = words if split_unspaced else tokens
    wordlike, letters = prefix_counts(classes & WORDLIKE != 0), prefix_counts(classes & LETTER != 0)
    lower_prefix = prefix_sums(character_table().lower.take(codes))
    starts, ends = (edges[wordlike[words[1]] > wordlike[words[0]]] for edges in words)
    lines = newline_lines(codes, prefix)
    split = split_lines(codes, classes, segments, text_ends)
    segment_groups, line_groups = (Groups.of(each.starts, text_starts) for each in (segments, lines))
    parts = paragraphs(segments, segment_groups, lines, line_groups, text_starts, prefix)
    return Analysis(
        texts=texts,
        text=text,
        text_starts=text_starts,
        text_ends=text_ends,
        codes=codes,
        char_classes=classes,
        prefix=prefix,
        segments=segments,
        segment_groups=segment_groups,
        tokens=Spans(*tokens, span_hashes(prefix, *tokens)),
        token_groups=Groups.of(tokens[0], text_starts),
        is_word=wordlike[tokens[1]] > wordlike[tokens[0]],
        has_letter=letters[tokens[1]] > letters[tokens[0]],
        words=Spans(starts, ends, span_hashes(lower_prefix, starts, ends)),
        word_groups=Groups.of(starts, text_starts),
        lines=lines,
        line_groups=line_groups,
        line_segments=segments.starts.searchsorted(lines.ends) - segments.starts.searchsorted(lines.starts),
        split_lines=split,
        split_line_groups=Groups.of(split.starts, text_starts),
        paragraphs=parts,
        paragraph_groups=Groups.of(parts.starts, text_starts),
    )


def batches(texts: Sequence[str]) -> Iterator[slice]:
    """Yield slices of texts to be analysed together: as many as fit, or a single longer one."""
    first = characters = 0
    for index, length in enumerate(map(len, texts)):
        if index > first and characters + length > BATCH_CHARACTERS:
            yield slice(first, index)
            first, characters = index, 0
        characters += length + 1
    if first < len(texts):
        yield slice(first, len(texts))


def hash_words(words: Sequence[str]) -> Hashes:
    """Return the hashes that single words, lower-cased, have in :attr:`Analysis.word_hashes`."""
    sums = [prefix_sums(character_table().lower[code_points(word)]) for word in words]
    hashes = [span_hashes(each, np.array([0]), np.array([len(each) - 1])) for each in sums]
    return np.concatenate(hashes) if hashes else np.empty(0, np.uint64)


def _token_spans(boundaries: Flags, segments: Segments) -> tuple[Positions, Positions]:
    """Return starts and ends of the tokens, given the boundaries within segments."""
    ends = boundaries.copy()
    ends[segments.ends] = True
    starts = boundaries.copy()
    starts[segments.starts] = True
    return nonzero_indices(starts), nonzero_indices(ends)
