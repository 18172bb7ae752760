"""C4's line and page rules (Raffel et al. 2020, JMLR 21:140, section 2.2), as datatrove reads them.

Line rules take lines out of the text; page rules count what a page is dropped for, in the lines that reach
them. A sentence ends at a token that is one of Unicode's terminal marks, as spaCy's sentencizer has it.
Most lines are settled by array arithmetic; only those with citation marks, brackets or one of the phrases are
looked at one by one.
"""

import re
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Analysis, Flags, Positions, analyse, nonzero_indices, prefix_counts
from pipeline.analysis.characters import PUNCTUATION, TERMINAL
from pipeline.filters.heuristics.gopher import ends_in_ellipsis

LONGEST_WORD = 1000
"""Characters; a line with a longer word goes."""
FEWEST_WORDS = 3
"""A line with fewer words goes."""

_FINISHED = (".", "?", "!", '"', "'")
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
_TELLING = (*_POLICIES, _LOREM_IPSUM, _SCRIPT, _BRACKET)


@dataclass(frozen=True, slots=True)
class CleanResult:
    """What C4's rules make of a page: the lines that stay, and the measures of its page rules."""

    text: str
    kept: Positions | None
    """The numbers of the lines that stay, None where some of them lost citation marks."""
    metrics: dict[str, float]


def clean(analysis: Analysis, *, terminal_punctuation: bool) -> CleanResult:
    """Apply the line rules; ``terminal_punctuation`` decides whether lines must end in a terminal mark."""
    stays = _have_words(analysis)
    told = _telling_lines(analysis)
    told = told[stays[told]].tolist()
    if terminal_punctuation:
        stays &= _finished(analysis)
    lorem_ipsum = brackets = 0
    edited: dict[int, str] = {}
    for number, raw in zip(told, _lines(analysis, told), strict=True):
        line = _CITATION.sub("", raw)
        lowered = line.lower()
        stays[number] = False
        if terminal_punctuation and (not line.endswith(_FINISHED) or line.endswith("...")):
            continue
        lorem_ipsum += _LOREM_IPSUM in lowered
        if _SCRIPT in lowered:
            continue
        brackets += line.count(_BRACKET)
        if any(policy in lowered for policy in _POLICIES):
            continue
        if line == raw:
            stays[number] = True
        else:
            edited[number] = line
    sentences = int(_sentences(analysis)[stays].sum())
    if edited:
        sentences += int(_sentences(analyse("\n".join(edited.values()))).sum())
    kept = nonzero_indices(stays)
    texts = dict(zip(kept.tolist(), _lines(analysis, kept.tolist()), strict=True)) | edited
    return CleanResult(
        text="\n".join(texts[number] for number in sorted(texts)).strip(),
        kept=None if edited else kept,
        metrics={"c4_sentences": sentences, "c4_lorem_ipsum": lorem_ipsum, "c4_curly_brackets": brackets},
    )


def _have_words(analysis: Analysis) -> Flags:
    """Which lines have words enough, and none that is too long."""
    lines, segments = analysis.split_lines, analysis.segments
    too_long = prefix_counts(segments.ends - segments.starts > LONGEST_WORD)
    enough = lines.end_segment - lines.first_segment >= FEWEST_WORDS
    fitting: Flags = enough & (too_long[lines.end_segment] == too_long[lines.first_segment])
    return fitting


def _finished(analysis: Analysis) -> Flags:
    """Which lines end in a terminal mark that is not the last of an ellipsis."""
    lines, segments = analysis.split_lines, analysis.segments
    if not len(segments.starts):
        return np.zeros(len(lines), np.bool_)
    last = np.maximum(lines.end_segment - 1, 0)
    ends = segments.ends[last]
    ellipsis = ends_in_ellipsis(analysis.codes, segments.starts[last], ends)
    return np.isin(analysis.codes[ends - 1], [ord(mark) for mark in _FINISHED]) & ~ellipsis


def _telling_lines(analysis: Analysis) -> Positions:
    """The lines with a citation mark, a bracket or a phrase; all, if lower case is longer than the text."""
    text, starts = analysis.text, analysis.split_lines.starts
    lowered = text.lower()
    present = [sign for sign in _TELLING if sign in lowered]
    if present and len(lowered) != len(text):
        return np.arange(len(starts))
    places = [found.start() for found in _CITATION.finditer(text)] if "[" in text else []
    if present:
        places += [found.start() for found in re.finditer("|".join(map(re.escape, present)), lowered)]
    return np.unique(starts.searchsorted(np.array(places, np.int64), "right") - 1)


def _lines(analysis: Analysis, numbers: list[int]) -> list[str]:
    """The lines of those numbers, which all have words, without white space around them."""
    lines, segments, text = analysis.split_lines, analysis.segments, analysis.text
    starts = segments.starts[lines.first_segment[numbers]].tolist()
    ends = segments.ends[lines.end_segment[numbers] - 1].tolist()
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _sentences(analysis: Analysis) -> Positions:
    """How many sentences each line has: one, and one more wherever a word follows a terminal mark."""
    lines, tokens, kinds = analysis.split_lines, analysis.tokens, analysis.char_classes
    signs = prefix_counts(kinds & PUNCTUATION != 0)
    terminal = (tokens.lengths == 1) & (kinds[tokens.starts] & TERMINAL != 0)
    inner = nonzero_indices(~terminal & (signs[tokens.ends] - signs[tokens.starts] < tokens.lengths))
    line_of = lines.starts.searchsorted(tokens.starts[inner], "right")
    marks = prefix_counts(terminal)
    line_begins = tokens.starts.searchsorted(lines.starts)
    previous = np.concatenate([[-1], inner])[:-1]
    begins = marks[inner] > marks[np.maximum(previous + 1, line_begins[line_of - 1])]
    counts = np.bincount(line_of[begins] - 1, minlength=len(lines))
    return np.where(lines.end_segment > lines.first_segment, counts + 1, 0)
