"""Sentences by a rule of thumb, and texts without their toxic ones."""

import re
from collections.abc import Callable

BOUNDARY = re.compile(r"[.!?…。！？｡]++[\"'”’»)\]」』）]*+(?:[^\S\n]+(?=\S)|(?<=[。！？｡」』）])(?=[^\n]))")
"""The end of a sentence that another follows on the line: a space between, except after East Asian marks."""


def split(line: str) -> list[str]:
    """The sentences of one line, each with the spaces that follow it; joined, they are the line."""
    ends = [match.end() for match in BOUNDARY.finditer(line)]
    return [line[start:end] for start, end in zip([0, *ends], [*ends, len(line)], strict=True)]


def without_toxic(text: str, scores: Callable[[list[str]], list[float]], threshold: float) -> tuple[str, int]:
    """The text without its sentences that score at least ``threshold``, and their number.

    A line that loses all its sentences goes as a whole (Dolma: Soldaini et al. 2024, section 5.3).
    """
    lines = [split(line) for line in text.split("\n")]
    distinct = list({sentence: None for line in lines for sentence in line if sentence.strip()})
    toxic = {each for each, score in zip(distinct, scores(distinct), strict=True) if score >= threshold}
    if not toxic:
        return text, 0
    kept = [[each for each in line if each not in toxic] for line in lines]
    number = sum(map(len, lines)) - sum(map(len, kept))
    return "\n".join("".join(line) for line in kept if line), number
