"""Visibility of elements, decided by their own attributes.

Style sheets are not read. Content that a reader can open stays: a closed ``details``, the panels of tabs and
accordions. So does content that scripts fade in (``opacity: 0``) or unfold (``height: 0``), and content that
React moves to its place once it has been streamed.
"""

import re
from collections.abc import Mapping
from enum import Enum

Attributes = Mapping[str, str | None]

HIDING = frozenset(("style", "hidden", "aria-hidden", "popover"))
"""Attributes that can hide an element."""
_RELEVANT = re.compile(
    r"display\s*:\s*(?:none|block|flex|grid|table|list)|visibility|white-space|clip|opacity\s*:\s*0|:\s*-\d{3}"
    r"|/\*|font-size\s*:\s*[0.]|width\s*:\s*[01](?:px)?\s*(?:;|$)|height\s*:\s*[01](?:px)?\s*(?:;|$)"
)
"""Matches styles, in lower case, with a property that is read here. Each alternative starts with a fixed
character and none ignores case: other positions are then skipped quickly."""
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_FAR = re.compile(r"-(?:\d{4,}|9\d\d)(?:\.\d+)?(?:px)?|-\d{3,}(?:\.\d+)?r?em")
"""Matches an offset that moves an element out of the window."""
_CLIPPED = re.compile(r"rect\((?:\s*[01](?:px)?[\s,]*){4}\)|inset\((?:50|100)%.*\)|circle\(0.*\)")
_TINY = re.compile(r"[01](?:\.\d+)?(?:px)?")
_OPENED = re.compile(r"accordion|collaps|disclosure|expand|faq|(?:tab|toggle)[-_]*(?:content|pane|panel)")
"""Matches names, in lower case, of content that the reader can open."""
_STREAMED = re.compile(r"S:[0-9a-f]+")
_ZERO = re.compile(r"0*(?:\.0*)?(?:[a-z]+|%)?")


class Display(Enum):
    """The effect of an element's attributes on its text."""

    SHOWN = 0
    HIDDEN = 1
    """Hidden with all descendants."""
    INVISIBLE = 2
    """Hidden except for descendants that are :attr:`VISIBLE`."""
    VISIBLE = 3
    """Shown even in an invisible element."""
    LINES = 4
    """Shown; line breaks in the text are shown as such."""
    PREFORMATTED = 5
    """Shown; line breaks and blanks in the text are shown as such."""
    BLOCK = 6
    """Shown on lines of its own."""
    UNPRINTED = 7
    """Own text hidden by its size; descendants may have another."""


def is_relevant(style: str) -> bool:
    """True if a ``style`` attribute may have an effect."""
    return _RELEVANT.search(style.lower()) is not None


def display(tag: str, attributes: Attributes) -> Display:
    """Return the effect of an element's attributes, of which at least one is in :data:`HIDING`."""
    style = attributes.get("style")
    properties = parse_style(style) if style and is_relevant(style) else {}
    if _is_hidden(tag, attributes, properties):
        return Display.SHOWN if tag == "body" or _can_be_opened(attributes) else Display.HIDDEN
    if visibility := properties.get("visibility"):
        if visibility in ("hidden", "collapse"):
            return Display.SHOWN if tag == "body" or _can_be_opened(attributes) else Display.INVISIBLE
        if visibility == "visible":
            return Display.VISIBLE
    return _formatting(properties) if properties else Display.SHOWN


def parse_style(style: str) -> dict[str, str]:
    """Return the properties of a ``style`` attribute in lower case; of several values, the last."""
    properties = {}
    for declaration in _COMMENT.sub("", style).lower().split(";"):
        name, _, value = declaration.partition(":")
        properties[name.strip()] = value.replace("!important", "").strip()
    return properties


def _is_hidden(tag: str, attributes: Attributes, properties: Mapping[str, str]) -> bool:
    shown = properties.get("display")
    if shown == "none":
        return True
    if "hidden" in attributes and (attributes["hidden"] or "").lower() != "until-found" and not shown:
        return True
    if "popover" in attributes and not shown:
        return True
    # Links that repeat another one are hidden from screen readers only.
    if tag != "a" and (attributes.get("aria-hidden") or "").strip().lower() == "true":
        return True
    return bool(properties) and _is_out_of_sight(properties)


def _is_out_of_sight(properties: Mapping[str, str]) -> bool:
    """True if an element is moved out of the window, clipped or shrunk to nothing."""
    get = properties.get
    if get("content-visibility") == "hidden" or _FAR.fullmatch(get("text-indent", "")):
        return True
    if get("position") in ("absolute", "fixed"):
        if any(_FAR.fullmatch(get(side, "")) for side in ("left", "right", "top", "bottom", "margin-left")):
            return True
        if _CLIPPED.fullmatch(get("clip", "")) or _is_zero(get("opacity")):
            return True
    if _CLIPPED.fullmatch(get("clip-path", "")):
        return True
    sizes = [get(size, "") for size in ("width", "height")]
    return get("overflow") in ("hidden", "clip") and all(_TINY.fullmatch(size) for size in sizes)


def _can_be_opened(attributes: Attributes) -> bool:
    """True if a hidden element is one that the reader can open, or that React moves into the page."""
    role = attributes.get("role")
    if role in ("tabpanel", "region"):
        return True
    identifier = attributes.get("id") or ""
    if _STREAMED.fullmatch(identifier):
        return True
    if role is None and "aria-labelledby" in attributes:
        return True
    return role is None and bool(_OPENED.search(f"{attributes.get('class') or ''} {identifier}".lower()))


def _is_zero(value: str | None) -> bool:
    return value is not None and value != "" and _ZERO.fullmatch(value) is not None


def _formatting(properties: Mapping[str, str]) -> Display:
    white_space = properties.get("white-space")
    if white_space in ("pre", "pre-wrap", "break-spaces"):
        return Display.PREFORMATTED
    if white_space == "pre-line":
        return Display.LINES
    if _is_zero(properties.get("font-size")):
        return Display.UNPRINTED
    if properties.get("display") in ("block", "flex", "grid", "table", "list-item"):
        return Display.BLOCK
    return Display.SHOWN
