"""RefinedWeb's line-wise corrections (Penedo et al. 2023, arXiv:2306.01116, appendix G.2), as DCLM has them.

A line goes that is mainly capitals, only numerals, a counter such as *3 likes* or a single word; short lines
lose phrases of navigation. Lines are what stands between newlines; a line's words are what white space
separates, so that the rules suit only languages that write spaces.
"""

import re
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from pipeline.analysis import Analysis, Flags

SHORT = 10
"""Words that a line has at most whose phrases are taken out."""
CAPITALS = 0.5
"""The share of capitals among a line's characters above which it goes."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """The text that the rules leave, and the share of words that they take."""

    text: str
    metrics: dict[str, float]


def correct(analysis: Analysis) -> Corrected:
    """Apply the rules. About 0.1 ms for 3,000 characters."""
    lines = analysis.text.split("\n")
    after = [_corrected(line) for line in lines]
    for number in np.flatnonzero(_mainly_capitals(analysis)).tolist():
        after[number] = None
    changed = [number for number, line in enumerate(lines) if after[number] != line]
    if not changed:
        return Corrected(analysis.text, {"refinedweb_removed_words": 0.0})
    gone = sum(len(lines[number].split()) - len((after[number] or "").split()) for number in changed)
    return Corrected(
        text="\n".join(line for line in after if line is not None).strip(),
        metrics={"refinedweb_removed_words": gone / max(len(analysis.text.split()), 1)},
    )


def _corrected(line: str) -> str | None:
    """The line without phrases of navigation, or None if nothing is left or it goes as a whole."""
    words = line.split(None, SHORT)
    if len(words) > SHORT or not words:
        return line
    if len(words) == 1 or all(map(str.isdecimal, words)):
        return None
    patterns = _patterns()
    if patterns.counter.fullmatch(line):
        return None
    lowered = line.lower()
    if lowered.startswith(patterns.begins) or any(phrase in lowered for phrase in patterns.elsewhere):
        line = patterns.phrase.sub("", line)
    return line if line.strip() else None


def _mainly_capitals(analysis: Analysis) -> Flags:
    codes = np.frombuffer(analysis.text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    before = np.zeros(len(codes) + 1, np.int64)
    np.cumsum(_is_capital().take(codes), out=before[1:])
    lines = analysis.lines
    mainly: Flags = before[lines.ends] - before[lines.starts] > CAPITALS * lines.lengths
    return mainly


@dataclass(frozen=True, slots=True)
class _Patterns:
    counter: re.Pattern[str]
    phrase: re.Pattern[str]
    begins: tuple[str, ...]
    elsewhere: tuple[str, ...]


@cache
def _patterns() -> _Patterns:
    data = resources.files("pipeline.filters").joinpath("data/refinedweb_lines.toml").read_text("utf-8")
    listed: dict[str, list[str]] = tomllib.loads(data)
    phrases = {kind: "|".join(map(re.escape, each)) for kind, each in listed.items()}
    return _Patterns(
        counter=re.compile(rf"(?i)\W*\d[\d.,]*[kmb]?\s+(?:{phrases['counters']})\W*"),
        phrase=re.compile(
            rf"(?i)^(?:{phrases['begins']})\b\s?|\s?\b(?:{phrases['ends']})$|\s?\b(?:{phrases['anywhere']})\b"
        ),
        begins=tuple(listed["begins"]),
        elsewhere=(*listed["ends"], *listed["anywhere"]),
    )


@cache
def _is_capital() -> Flags:
    """Whether each code point is a capital letter, by this Python's Unicode data; built once in 0.1 s."""
    return np.fromiter((chr(code).isupper() for code in range(sys.maxunicode + 1)), np.bool_)
