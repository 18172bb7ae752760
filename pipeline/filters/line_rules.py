"""Apply a preset's line rules: the text that the conditions see, and the text to publish.

The conditions see what the rules leave, as in datatrove: kept lines without the blank ones between them. The
published text keeps blank lines, which separate paragraphs, and indentation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.analysis import Analysis, Positions, analyse
from pipeline.analysis.arrays import code_points
from pipeline.analysis.characters import WHITE, character_table
from pipeline.filters.heuristics import c4, dolma, refinedweb
from pipeline.filters.recipe import Preset


@dataclass(frozen=True, slots=True)
class Edit:
    """Result of the line rules."""

    analysis: Analysis
    """Analysis of the text that the conditions see, or of one that contains its lines."""
    kept: Positions | None
    """Numbers of the ``split_lines`` that the conditions see; None: the whole text."""
    published: str
    """The same words in the same order, in the paragraphs of the original text."""

    @property
    def measured(self) -> str:
        """The text that the conditions see."""
        if self.kept is None:
            return self.analysis.text
        lines = self.analysis.selected_lines(self.kept)
        spans = zip(lines.starts.tolist(), lines.ends.tolist(), strict=True)
        return "\n".join(self.analysis.text[start:end] for start, end in spans)


def apply(
    analysis: Analysis, preset: Preset, c4_result: c4.CleanResult, refinedweb_result: refinedweb.CorrectResult
) -> Edit:
    """Apply the line rules that the preset selects, given what each of them keeps."""
    text = analysis.text
    match preset.lines:
        case "c4":
            published = _with_paragraphs(text, text.splitlines(), c4_result.lines)
            if c4_result.kept is not None:
                return Edit(analysis, c4_result.kept, published)
            measured = c4_result.text
        case "finished":
            lines = text.split("\n")
            kept = {number: line for number, line in enumerate(lines) if dolma.is_finished(line)}
            measured, published = "\n".join(kept.values()), _with_paragraphs(text, lines, kept)
        case "refinedweb":
            measured = published = refinedweb_result.text
        case _:
            return Edit(analysis, None, text)
    if measured != text:
        analysis = analyse(measured, split_unspaced=preset.split_unspaced)
    return Edit(analysis, None, published)


def _with_paragraphs(text: str, lines: Sequence[str], kept: Mapping[int, str]) -> str:
    """Join kept lines of a text, given by number, with their indentation and the blank lines between them.

    Several blank lines become one. A text of which all lines are kept is returned unchanged.
    """
    stripped = list(map(str.strip, lines))
    kept = {number: inked for number, line in kept.items() if (inked := line.strip())}
    if len(kept) == len(stripped) - stripped.count("") and all(stripped[each] == kept[each] for each in kept):
        return text
    parts: list[str] = []
    previous = -1
    for number, line in kept.items():
        if parts:
            parts.append("\n" if all(stripped[previous + 1 : number]) else "\n\n")
        parts.append(lines[number].partition(stripped[number])[0] + line)
        previous = number
    return "".join(parts)


def count_removed(original: str, text: str) -> dict[str, float]:
    """Return the number of characters of a text, and of characters and lines that editing removed from it.

    White space does not count.
    """
    characters = count_characters(original)
    if text == original:
        return {"characters": characters, "removed_characters": 0, "removed_lines": 0}
    return {
        "characters": characters,
        "removed_characters": characters - count_characters(text),
        "removed_lines": _count_lines(original) - _count_lines(text),
    }


def _count_lines(text: str) -> int:
    return sum(map(bool, map(str.strip, text.splitlines())))


def count_characters(text: str) -> int:
    """Return the number of characters that are not white space."""
    return len(text) - int(np.count_nonzero(character_table().classes.take(code_points(text)) & WHITE))
