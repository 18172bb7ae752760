"""Rule-based sentence splitting, and removal of toxic sentences."""

import re
from collections.abc import Callable

BOUNDARY = re.compile(r"[.!?…。！？｡]++[\"'”’»)\]」』）]*+(?:[^\S\n]+(?=\S)|(?<=[。！？｡」』）])(?=[^\n]))")
"""End of a sentence that is followed by another on the same line. A space is required, except after East
Asian punctuation."""


def split(line: str) -> list[str]:
    """Split a line into sentences, each with its trailing spaces. Joined, they equal the line."""
    ends = [match.end() for match in BOUNDARY.finditer(line)]
    return [line[start:end] for start, end in zip([0, *ends], [*ends, len(line)], strict=True)]


def remove_toxic(text: str, scores: Callable[[list[str]], list[float]], threshold: float) -> tuple[str, int]:
    """Remove sentences that score at least ``threshold``; return the rest and the number removed.

    A line that loses all its sentences is removed with its line break (Dolma: Soldaini et al. 2024, section
    5.3).
    """
    lines = [split(line) for line in text.split("\n")]
    distinct = list({sentence: None for line in lines for sentence in line if sentence.strip()})
    toxic = {each for each, score in zip(distinct, scores(distinct), strict=True) if score >= threshold}
    if not toxic:
        return text, 0
    kept = [[each for each in line if each not in toxic] for line in lines]
    removed = sum(map(len, lines)) - sum(map(len, kept))
    return "\n".join("".join(line) for line in kept if line), removed
