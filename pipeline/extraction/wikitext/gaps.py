"""Spacing and punctuation around what has been removed from a text.

The parser writes :data:`GAP` where it removes a template, reference, image or comment. Only there are blanks
and punctuation changed, so that ``main()`` or ``a , b`` in the text itself stay as they are.
"""

import re

GAP = "\ufdd5"
"""A noncharacter, which is removed from pages before they are parsed."""

_BLANKS = " \t\xa0"
_SEPARATORS = ",;、，；"
_OPENING, _CLOSING = "([（［", ")]）］"
_RUN = re.compile(f"{GAP}(?:[{_BLANKS}{_SEPARATORS}:/·–-]*+{GAP})++")
"""Gaps with nothing but punctuation between them."""


def close_gaps(text: str) -> str:
    """Return the text without gaps: with one space at most, no empty parentheses and no doubled commas."""
    if GAP not in text:
        return text
    first, *pieces = _RUN.sub(_one_gap, text).split(GAP)
    parts = [first]
    for piece in pieces:
        left, right = _join(parts[-1], piece)
        parts[-1] = left
        parts.append(right)
    return "".join(parts)


def _one_gap(found: re.Match[str]) -> str:
    return f" {GAP}" if any(blank in found[0] for blank in _BLANKS) else GAP


def _join(left: str, right: str) -> tuple[str, str]:
    """Return the text before and after a gap as they are to be concatenated."""
    before, after = left.rstrip(_BLANKS), right.lstrip(_BLANKS)
    last, following = before[-1:], after[:1]
    if last and last in _OPENING:
        after = after.lstrip(_BLANKS + _SEPARATORS)
        if after[:1] and after[0] in _CLOSING:
            return before[:-1].rstrip(_BLANKS), after[1:]
        return before, after
    if following and following in _CLOSING:
        before = before.rstrip(_BLANKS + _SEPARATORS)
        if before[-1:] and before[-1] in _OPENING:
            return before[:-1].rstrip(_BLANKS), after[1:]
        return before, after
    if not following or following == "\n" or not last or last == "\n":
        return before, after
    if following in ".。" or following in _SEPARATORS:
        return before.rstrip(_BLANKS + _SEPARATORS + ":"), after
    if following in ":!?»":  # French has a space before these.
        return before, right
    is_spaced = len(before) < len(left) or len(after) < len(right)
    return before, " " + after if is_spaced else after
