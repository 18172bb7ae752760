"""FineWeb's own quality metrics (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

from pipeline.analysis import Analysis, Positions
from pipeline.analysis.characters import TERMINAL
from pipeline.filters.heuristics.gopher import duplicates

SHORT_LINE = 30
"""Maximum length of a short line, in characters."""


def measure(analysis: Analysis, kept: Positions | None = None) -> dict[str, float]:
    """Return shares of finished lines, short lines and characters in repeated lines; newlines per token.

    Blank lines count as newlines only. All metrics of an empty text are 0. ``kept``: numbers of the
    ``split_lines`` that make up the text, stripped and joined by newlines, none of them blank; None: all of
    the text as it is.
    """
    if kept is None:
        lines = analysis.lines.filter(~analysis.line_is_blank)
        newlines, tokens = len(analysis.lines) - 1, len(analysis.tokens)
        characters = len(analysis.text) - newlines
    else:
        lines, newlines = analysis.selected_lines(kept), max(len(kept) - 1, 0)
        starts = analysis.tokens.starts
        tokens = int((starts.searchsorted(lines.ends) - starts.searchsorted(lines.starts)).sum())
        characters = int(lines.lengths.sum())
    count = max(len(lines), 1)
    return {
        "fineweb_finished_lines": int((analysis.char_classes[lines.ends - 1] & TERMINAL != 0).sum()) / count,
        "fineweb_short_lines": int((lines.lengths <= SHORT_LINE).sum()) / count,
        "fineweb_duplicate_line_characters": duplicates(lines)[1] / max(characters, 1),
        "fineweb_newlines_per_word": newlines / max(tokens, 1),
    }
