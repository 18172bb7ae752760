"""C4's line and page rules (Raffel et al. 2020, JMLR 21:140, section 2.2), as implemented by datatrove.

Line rules remove lines from the text. Page rules count what a page is dropped for, in the lines that reach
them. A sentence ends at a token that is a Unicode sentence terminal, as in spaCy's sentencizer. Most lines
are decided by array operations; only lines with citation marks, brackets or one of the phrases are processed
one by one.
"""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import (
    Analysis,
    Columns,
    Flags,
    Positions,
    analyse_together,
    nonzero_indices,
    prefix_counts,
)
from pipeline.analysis.characters import PUNCTUATION, TERMINAL
from pipeline.filters.heuristics.gopher import ends_in_ellipsis

MAX_WORD_LENGTH = 1000
"""Characters. A line with a longer word is removed."""
MIN_WORDS = 3
"""A line with fewer words is removed."""

_TERMINAL_MARKS = (".", "?", "!", '"', "'")
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_LOREM_IPSUM, _SCRIPT, _BRACKET = "lorem ipsum", "javascript", "{"
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)
_SIGNALS = (*_POLICIES, _LOREM_IPSUM, _SCRIPT, _BRACKET)


@dataclass(frozen=True, slots=True, eq=False)
class CleanResult:
    """The lines of texts after C4's line rules, by their numbers among all ``split_lines``."""

    analysis: Analysis
    kept: Positions
    """The lines that are kept as they are."""
    edited: dict[int, str]
    """The kept lines that were edited, in order."""
    metrics: Columns
    """Metrics of the page rules."""

    def edited_texts(self) -> frozenset[int]:
        """Return the indices of the texts with edited lines."""
        numbers = np.fromiter(self.edited, np.int64, len(self.edited))
        return frozenset(self.analysis.split_line_groups.owners_of(numbers).tolist())

    def lines(self, index: int) -> dict[int, str]:
        """Return the kept lines of one text by their numbers in it, stripped."""
        first, past = self.analysis.split_line_groups.bounds[index : index + 2].tolist()
        numbers = self.kept[slice(*self.kept.searchsorted([first, past]))]
        lines = dict(zip((numbers - first).tolist(), self.analysis.stripped_lines(numbers), strict=True))
        edited = {
            number - first: self.edited[number] for number in range(first, past) if number in self.edited
        }
        return dict(sorted((lines | edited).items())) if edited else lines


def clean(analysis: Analysis, *, terminal_punctuation: bool) -> CleanResult:
    """Apply the line rules. With ``terminal_punctuation``, lines must end in a terminal mark."""
    keep = _have_words(analysis)
    candidates = _candidate_lines(analysis)
    numbers = candidates[keep[candidates]]
    if terminal_punctuation:
        keep &= _end_in_terminal_mark(analysis)
    owners = analysis.split_line_groups.owners_of(numbers).tolist()
    lorem_ipsum, brackets = np.zeros((2, len(analysis.texts)))
    edited: dict[int, str] = {}
    for number, owner, raw in zip(numbers.tolist(), owners, analysis.stripped_lines(numbers), strict=True):
        line = _CITATION.sub("", raw)
        lowered = line.lower()
        keep[number] = False
        if terminal_punctuation and (not line.endswith(_TERMINAL_MARKS) or line.endswith("...")):
            continue
        lorem_ipsum[owner] += _LOREM_IPSUM in lowered
        if _SCRIPT in lowered:
            continue
        brackets[owner] += line.count(_BRACKET)
        if any(policy in lowered for policy in _POLICIES):
            continue
        if line == raw:
            keep[number] = True
        else:
            edited[number] = line
    sentences = analysis.split_line_groups.sums(_sentence_counts(analysis) * keep).astype(np.float64)
    if edited:
        owners = analysis.split_line_groups.owners_of(np.fromiter(edited, np.int64, len(edited)))
        lines = analyse_together(list(edited.values()))
        np.add.at(sentences, owners, lines.split_line_groups.sums(_sentence_counts(lines)))
    return CleanResult(
        analysis,
        kept=nonzero_indices(keep),
        edited=edited,
        metrics={"c4_sentences": sentences, "c4_lorem_ipsum": lorem_ipsum, "c4_curly_brackets": brackets},
    )


def _have_words(analysis: Analysis) -> Flags:
    """Return which lines have enough words and no overlong word."""
    lines, segments = analysis.split_lines, analysis.segments
    too_long = prefix_counts(segments.ends - segments.starts > MAX_WORD_LENGTH)
    enough = lines.end_segment - lines.first_segment >= MIN_WORDS
    fitting: Flags = enough & (too_long[lines.end_segment] == too_long[lines.first_segment])
    return fitting


def _end_in_terminal_mark(analysis: Analysis) -> Flags:
    """Return which lines end in a terminal mark that is not part of an ellipsis."""
    lines, segments = analysis.split_lines, analysis.segments
    if not len(segments.starts):
        return np.zeros(len(lines), np.bool_)
    last = np.maximum(lines.end_segment - 1, 0)
    ends = segments.ends[last]
    ellipsis = ends_in_ellipsis(analysis.codes, segments.starts[last], ends)
    return np.isin(analysis.codes[ends - 1], [ord(mark) for mark in _TERMINAL_MARKS]) & ~ellipsis


def _candidate_lines(analysis: Analysis) -> Positions:
    """Return the lines with a citation mark, bracket or phrase."""
    starts, lowered = analysis.split_lines.starts, analysis.lowered()
    found = []
    if "[" in lowered:
        found += [match.start() for match in _CITATION.finditer(analysis.text)]
    if present := [signal for signal in _SIGNALS if signal in lowered]:
        found += [match.start() for match in re.finditer("|".join(map(re.escape, present)), lowered)]
    return np.unique(starts.searchsorted(np.array(found, np.int64), "right") - 1)


def _sentence_counts(analysis: Analysis) -> Positions:
    """Return the sentences per line: one, plus one for every word that follows a terminal mark."""
    lines, tokens, classes = analysis.split_lines, analysis.tokens, analysis.char_classes
    signs = prefix_counts(classes & PUNCTUATION != 0)
    terminal = (tokens.lengths == 1) & (classes[tokens.starts] & TERMINAL != 0)
    inner = nonzero_indices(~terminal & (signs[tokens.ends] - signs[tokens.starts] < tokens.lengths))
    line_of = lines.starts.searchsorted(tokens.starts[inner], "right")
    marks = prefix_counts(terminal)
    line_begins = tokens.starts.searchsorted(lines.starts)
    previous = np.concatenate([[-1], inner])[:-1]
    begins = marks[inner] > marks[np.maximum(previous + 1, line_begins[line_of - 1])]
    counts = np.bincount(line_of[begins] - 1, minlength=len(lines))
    return np.where(lines.end_segment > lines.first_segment, counts + 1, 0)
