"""C4's line and page rules (Raffel et al. 2020, JMLR 21:140, section 2.2), as implemented by datatrove.

Line rules remove lines from the text. Page rules count what a page is dropped for, in the lines that reach
them. A sentence ends at a token that is a Unicode sentence terminal, as in spaCy's sentencizer. Most lines
are decided by array operations; only lines with citation marks, brackets or one of the phrases are processed
one by one.
"""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Analysis, Flags, Positions, analyse, nonzero_indices, prefix_counts
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


@dataclass(frozen=True, slots=True)
class CleanResult:
    """The text after C4's line rules, and the metrics of its page rules."""

    lines: dict[int, str]
    """The kept lines by their numbers, stripped, some of them edited."""
    kept: Positions | None
    """Numbers of the kept lines, or None if some of them were edited."""
    metrics: dict[str, float]

    @property
    def text(self) -> str:
        """The text after the line rules."""
        return "\n".join(self.lines.values()).strip()


def clean(analysis: Analysis, *, terminal_punctuation: bool) -> CleanResult:
    """Apply the line rules. With ``terminal_punctuation``, lines must end in a terminal mark."""
    keep = _have_words(analysis)
    candidates = _candidate_lines(analysis)
    numbers = candidates[keep[candidates]].tolist()
    if terminal_punctuation:
        keep &= _end_in_terminal_mark(analysis)
    lorem_ipsum = brackets = 0
    edited: dict[int, str] = {}
    for number, raw in zip(numbers, _lines(analysis, numbers), strict=True):
        line = _CITATION.sub("", raw)
        lowered = line.lower()
        keep[number] = False
        if terminal_punctuation and (not line.endswith(_TERMINAL_MARKS) or line.endswith("...")):
            continue
        lorem_ipsum += _LOREM_IPSUM in lowered
        if _SCRIPT in lowered:
            continue
        brackets += line.count(_BRACKET)
        if any(policy in lowered for policy in _POLICIES):
            continue
        if line == raw:
            keep[number] = True
        else:
            edited[number] = line
    sentences = int(_sentence_counts(analysis)[keep].sum())
    if edited:
        sentences += int(_sentence_counts(analyse("\n".join(edited.values()))).sum())
    kept = nonzero_indices(keep)
    texts = dict(zip(kept.tolist(), _lines(analysis, kept.tolist()), strict=True)) | edited
    return CleanResult(
        lines={number: texts[number] for number in sorted(texts)},
        kept=None if edited else kept,
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
    """Return the lines with a citation mark, bracket or phrase; all if lower-casing changes the length."""
    text, starts = analysis.text, analysis.split_lines.starts
    lowered = text.lower()
    present = [signal for signal in _SIGNALS if signal in lowered]
    if present and len(lowered) != len(text):
        return np.arange(len(starts))
    starts_found = [found.start() for found in _CITATION.finditer(text)] if "[" in text else []
    if present:
        starts_found += [found.start() for found in re.finditer("|".join(map(re.escape, present)), lowered)]
    return np.unique(starts.searchsorted(np.array(starts_found, np.int64), "right") - 1)


def _lines(analysis: Analysis, numbers: list[int]) -> list[str]:
    """Return the given lines, none of which is blank, stripped."""
    lines, segments, text = analysis.split_lines, analysis.segments, analysis.text
    starts = segments.starts[lines.first_segment[numbers]].tolist()
    ends = segments.ends[lines.end_segment[numbers] - 1].tolist()
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


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
