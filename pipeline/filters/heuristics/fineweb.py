"""FineWeb's own quality metrics (Penedo et al. 2024, arXiv:2406.17557, section 3.6)."""

import numpy as np

from pipeline.analysis import Analysis, Columns, Groups, Positions
from pipeline.analysis.characters import TERMINAL
from pipeline.filters.heuristics.gopher import duplicates

SHORT_LINE = 30
"""Maximum length of a short line, in characters."""


def measure(analysis: Analysis, kept: Positions | None = None) -> Columns:
    """Return shares of finished lines, short lines and characters in repeated lines; newlines per token.

    Blank lines count as newlines only. All metrics of an empty text are 0. ``kept``: numbers of the
    ``split_lines`` that make up the texts, stripped and joined by newlines, none of them blank; None: all of
    the texts as they are.
    """
    if kept is None:
        inked = ~analysis.line_is_blank
        lines, groups = analysis.lines.filter(inked), analysis.line_groups.filter(inked)
        newlines, tokens = analysis.line_groups.sizes - 1, analysis.token_groups.sizes
        characters = analysis.text_ends - analysis.text_starts - newlines
    else:
        lines = analysis.selected_lines(kept)
        groups = Groups.of(lines.starts, analysis.text_starts)
        newlines, starts = np.maximum(groups.sizes - 1, 0), analysis.tokens.starts
        tokens = groups.sums(starts.searchsorted(lines.ends) - starts.searchsorted(lines.starts))
        characters = groups.sums(lines.lengths)
    count = np.maximum(groups.sizes, 1)
    return {
        "fineweb_finished_lines": groups.sums(analysis.char_classes[lines.ends - 1] & TERMINAL != 0) / count,
        "fineweb_short_lines": groups.sums(lines.lengths <= SHORT_LINE) / count,
        "fineweb_duplicate_line_characters": duplicates(lines, groups)[1] / np.maximum(characters, 1),
        "fineweb_newlines_per_word": newlines / np.maximum(tokens, 1),
    }
