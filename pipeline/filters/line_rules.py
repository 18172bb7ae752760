"""Apply a preset's line rules: the text that the conditions see, and the text to publish.

The conditions see what the rules leave, as in datatrove: kept lines without the blank ones between them. The
published text keeps blank lines, which separate paragraphs, and indentation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.analysis import Analysis, Columns, Positions
from pipeline.analysis.arrays import code_points
from pipeline.analysis.characters import WHITE, character_table
from pipeline.filters.heuristics import c4, dolma, refinedweb
from pipeline.filters.recipe import Preset


@dataclass(frozen=True, slots=True, eq=False)
class Edits:
    """Result of the line rules on texts."""

    analysis: Analysis
    """Analysis of the texts before."""
    published: list[str]
    """Of each text, the words that the conditions see in the same order, in its original paragraphs."""
    kept: Positions | None = None
    """Numbers of the ``split_lines`` that the conditions see; None: all of the texts."""
    edited: Mapping[int, str] = field(default_factory=dict)
    """Texts, by index, of which the conditions see something else: edited lines."""

    def measured_text(self, index: int) -> str:
        """Return what the conditions see of one text."""
        if index in self.edited:
            return self.edited[index]
        if self.kept is None:
            return self.analysis.texts[index]
        first, past = self.analysis.split_line_groups.bounds[index : index + 2].tolist()
        numbers = self.kept[slice(*self.kept.searchsorted([first, past]))]
        return "\n".join(self.analysis.stripped_lines(numbers))


def apply(
    analysis: Analysis, preset: Preset, c4_result: c4.CleanResult, refinedweb_result: refinedweb.CorrectResult
) -> Edits:
    """Apply the line rules that the preset selects, given what each of them keeps."""
    match preset.lines:
        case "c4":
            return _apply_c4(analysis, c4_result)
        case "finished":
            return _apply_finished(analysis)
        case "refinedweb":
            corrected = refinedweb_result.texts()
            published = [corrected.get(index, text) for index, text in enumerate(analysis.texts)]
            return Edits(analysis, published, edited=corrected)
        case _:
            return Edits(analysis, list(analysis.texts))


def _apply_c4(analysis: Analysis, result: c4.CleanResult) -> Edits:
    lines, groups = analysis.split_lines, analysis.split_line_groups
    inked, edited = groups.sums(lines.end_segment > lines.first_segment), result.edited_texts()
    published, measured = list(analysis.texts), {}
    for index in sorted({*np.flatnonzero(groups.counts(result.kept) < inked).tolist(), *edited}):
        text, kept = analysis.texts[index], result.lines(index)
        published[index] = _with_paragraphs(text, text.splitlines(), kept)
        if index in edited:
            measured[index] = "\n".join(kept.values()).strip()
    return Edits(analysis, published, result.kept, measured)


def _apply_finished(analysis: Analysis) -> Edits:
    published: list[str] = []
    measured: dict[int, str] = {}
    for index, text in enumerate(analysis.texts):
        lines = text.split("\n")
        kept = {number: line for number, line in enumerate(lines) if dolma.is_finished(line)}
        published.append(_with_paragraphs(text, lines, kept))
        if len(kept) < len(lines):
            measured[index] = "\n".join(kept.values())
    return Edits(analysis, published, edited=measured)


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


def count_removed(analysis: Analysis, texts: Sequence[str]) -> Columns:
    """Return the number of characters of each text, and of characters and lines that editing removed from it.

    White space does not count. ``texts``: the analysed texts as they are after editing.
    """
    characters = analysis.segment_groups.sums(analysis.segments.ends - analysis.segments.starts)
    removed_characters, removed_lines = np.zeros((2, len(texts)))
    for index, (original, text) in enumerate(zip(analysis.texts, texts, strict=True)):
        if text != original:
            removed_characters[index] = characters[index] - count_characters(text)
            removed_lines[index] = _count_lines(original) - _count_lines(text)
    return {
        "characters": characters.astype(np.float64),
        "removed_characters": removed_characters,
        "removed_lines": removed_lines,
    }


def _count_lines(text: str) -> int:
    return sum(map(bool, map(str.strip, text.splitlines())))


def count_characters(text: str) -> int:
    """Return the number of characters that are not white space."""
    return len(text) - int(np.count_nonzero(character_table().classes.take(code_points(text)) & WHITE))
