"""C4's line and page rules (Raffel et al. 2020, JMLR 21:140, section 2.2), as datatrove reads them.

Line rules take lines out of the text; page rules count what a page is dropped for, in the lines that reach
them. Sentences are counted by a rule of thumb (terminal punctuation followed by a space), since C4 asks only
for a handful of them.
"""

import re
from dataclasses import dataclass

from pipeline.filters.sentences import BOUNDARY

LONGEST_WORD = 1000
"""Characters; a line with a longer word goes."""
FEWEST_WORDS = 3
"""A line with fewer words goes."""

_TERMINAL = (".", "?", "!", '"', "'")
_CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


@dataclass(frozen=True, slots=True)
class Page:
    """What C4's rules make of a page: the lines that stay, and the measures of its page rules."""

    text: str
    metrics: dict[str, float]


def clean(text: str, *, terminal_punctuation: bool) -> Page:
    """Apply the line rules; ``terminal_punctuation`` decides whether lines must end in a terminal mark."""
    lowered = _CITATION.sub("", text).lower()
    phrases = [phrase for phrase in (*_POLICIES, "javascript", "lorem ipsum") if phrase in lowered]
    placeholders = brackets = 0
    kept = []
    for raw in text.splitlines():
        line = _admissible(raw, terminal_punctuation)
        if line is None:
            continue
        found = [phrase for phrase in phrases if phrase in line.lower()]
        placeholders += "lorem ipsum" in found
        if "javascript" in found:
            continue
        brackets += line.count("{")
        if not any(phrase in _POLICIES for phrase in found):
            kept.append(line)
    result = "\n".join(kept).strip()
    sentences = len(kept) + len(BOUNDARY.findall(result))
    return Page(
        text=result,
        metrics={"c4_sentences": sentences, "c4_lorem_ipsum": placeholders, "c4_curly_brackets": brackets},
    )


def _admissible(raw: str, terminal_punctuation: bool) -> str | None:
    """The line, stripped and without citation marks, or None if it is too short, too long or unfinished."""
    line = raw.strip()
    words = line.split(None, FEWEST_WORDS - 1)
    if len(words) < FEWEST_WORDS:
        return None
    if len(line) > LONGEST_WORD and any(len(word) > LONGEST_WORD for word in line.split()):
        return None
    if "[" in line:
        line = _CITATION.sub("", line)
    if terminal_punctuation and (not line.endswith(_TERMINAL) or line.endswith("...")):
        return None
    return line
