"""RefinedWeb's line-wise corrections (Penedo et al. 2023, arXiv:2306.01116, appendix G.2), as in DCLM.

A line is removed if it is mainly capitals, only numerals, a counter such as *3 likes*, or a single word.
Navigation phrases are removed from short lines. Lines are separated by newlines and words by white space, so
that the rules suit only languages written with spaces.
"""

import re
import sys
from dataclasses import dataclass
from functools import cache

import numpy as np

from core.resources import read_toml
from pipeline.analysis import Analysis, Columns, Flags, Positions, nonzero_indices, prefix_counts
from pipeline.analysis.characters import LETTER, MARK, WORDLIKE

MAX_WORDS = 10
"""Maximum number of words of a line from which phrases are removed."""
MAX_CAPITALS = 0.5
"""Maximum share of capitals among the characters of a line that is kept."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrectResult:
    """The lines that the rules change, and the share of words removed per text."""

    analysis: Analysis
    changed: dict[int, str | None]
    """Corrected lines by their numbers among all ``lines``; None for removed ones."""
    metrics: Columns

    def texts(self) -> dict[int, str]:
        """Return the corrected texts by their indices; those that the rules leave as they are are absent."""
        numbers = np.fromiter(self.changed, np.int64, len(self.changed))
        indices = self.analysis.line_groups.owners_of(numbers).tolist()
        return {index: self._corrected(index) for index in dict.fromkeys(indices)}

    def _corrected(self, index: int) -> str:
        first = int(self.analysis.line_groups.bounds[index])
        lines = enumerate(self.analysis.texts[index].split("\n"), first)
        corrected = (self.changed.get(number, line) for number, line in lines)
        return "\n".join(line for line in corrected if line is not None).strip()


def correct(analysis: Analysis) -> CorrectResult:
    """Apply the rules."""
    lines, words = analysis.lines, analysis.line_segments
    removed = (words == 1) | ((words > 0) & (_capital_counts(analysis) > MAX_CAPITALS * lines.lengths))
    changed: dict[int, str | None] = dict.fromkeys(nonzero_indices(removed).tolist())
    removed_words = words * removed
    candidates = _candidate_lines(analysis) & (words > 1) & (words <= MAX_WORDS) & ~removed
    for number in nonzero_indices(candidates).tolist():
        line = analysis.text[lines.starts[number] : lines.ends[number]]
        corrected = _correct_line(line)
        if corrected != line:
            changed[number] = corrected
            removed_words[number] = words[number] - len((corrected or "").split())
    shares = analysis.line_groups.sums(removed_words) / np.maximum(analysis.segment_groups.sizes, 1)
    return CorrectResult(analysis, changed, {"refinedweb_removed_words": shares})


def _candidate_lines(analysis: Analysis) -> Flags:
    """Return which lines have a numeral or a navigation phrase."""
    lines, classes = analysis.lines, analysis.char_classes
    numerals = prefix_counts(classes & (WORDLIKE | LETTER | MARK) == WORDLIKE)
    candidates = numerals[lines.ends] > numerals[lines.starts]
    lowered, patterns = analysis.lowered(), _patterns()
    present = [phrase for phrase in (*patterns.prefixes, *patterns.others) if phrase in lowered]
    if present:
        offsets = [found.start() for found in re.finditer("|".join(map(re.escape, present)), lowered)]
        candidates[lines.starts.searchsorted(offsets, "right") - 1] = True
    return candidates


def _correct_line(line: str) -> str | None:
    """Remove navigation phrases from a short line. None if the line is removed or nothing is left."""
    if "".join(line.split()).isdecimal():
        return None
    patterns = _patterns()
    if patterns.counter.fullmatch(line):
        return None
    lowered = line.lower()
    if lowered.startswith(patterns.prefixes) or any(phrase in lowered for phrase in patterns.others):
        line = patterns.phrase.sub("", line)
    return line if line.strip() else None


def _capital_counts(analysis: Analysis) -> Positions:
    """Return the number of capitals per line."""
    before = prefix_counts(_is_capital().take(analysis.codes))
    return before[analysis.lines.ends] - before[analysis.lines.starts]


@dataclass(frozen=True, slots=True)
class _Patterns:
    counter: re.Pattern[str]
    phrase: re.Pattern[str]
    prefixes: tuple[str, ...]
    others: tuple[str, ...]


@cache
def _patterns() -> _Patterns:
    listed: dict[str, list[str]] = read_toml("pipeline.filters.heuristics", "refinedweb_lines.toml")
    phrases = {name: "|".join(map(re.escape, each)) for name, each in listed.items()}
    return _Patterns(
        counter=re.compile(rf"(?i)\W*\d[\d.,]*[kmb]?\s+(?:{phrases['counters']})\W*"),
        phrase=re.compile(
            rf"(?i)^(?:{phrases['begins']})\b\s?|\s?\b(?:{phrases['ends']})$|\s?\b(?:{phrases['anywhere']})\b"
        ),
        prefixes=tuple(listed["begins"]),
        others=(*listed["ends"], *listed["anywhere"]),
    )


@cache
def _is_capital() -> Flags:
    """Return, per code point, True for capitals of this Python's Unicode version. Built once, in 0.1 s."""
    return np.fromiter((chr(code).isupper() for code in range(sys.maxunicode + 1)), np.bool_)
