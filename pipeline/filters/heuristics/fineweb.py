"""FineWeb's own quality metrics (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

from pipeline.analysis import Analysis
from pipeline.analysis.characters import TERMINAL
from pipeline.filters.heuristics.gopher import duplicates

SHORT_LINE = 30
"""Maximum length of a short line, in characters."""


def measure(analysis: Analysis) -> dict[str, float]:
    """Return shares of finished lines, short lines and characters in repeated lines; newlines per token.

    Blank lines count as newlines only. All metrics of an empty text are 0.
    """
    lines = analysis.lines.filter(~analysis.line_is_blank)
    count, newlines = max(len(lines), 1), len(analysis.lines) - 1
    return {
        "fineweb_finished_lines": int((analysis.char_classes[lines.ends - 1] & TERMINAL != 0).sum()) / count,
        "fineweb_short_lines": int((lines.lengths <= SHORT_LINE).sum()) / count,
        "fineweb_duplicate_line_characters": duplicates(lines)[1] / max(len(analysis.text) - newlines, 1),
        "fineweb_newlines_per_word": newlines / max(len(analysis.tokens), 1),
    }
