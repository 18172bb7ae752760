"""Names of elements and classes with a known meaning; those of classes are in ``markup.toml``."""

from collections.abc import Mapping
from functools import cache

from core.resources import read_toml

NOT_TEXT = frozenset(
    (
        *("style", "head", "title", "iframe", "canvas", "video", "audio", "select", "datalist", "progress"),
        *("meter", "noembed", "noframes", "rp", "area", "base", "col", "embed", "input", "link", "meta"),
        *("param", "source", "track", "wbr", "defs", "desc", "metadata", "symbol", "path", "use", "image"),
        *(
            "circle",
            "rect",
            "line",
            "polygon",
            "polyline",
            "ellipse",
            "clipPath",
            "filter",
            "mask",
            "pattern",
        ),
    )
)
"""Elements without text that a reader sees, skipped with all their content."""
BLOCK_LEVEL = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "button", "caption", "center", "dd"),
        *("details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "label", "legend"),
        *("li", "listing", "main", "menu", "nav", "noscript", "ol", "option", "p", "plaintext", "pre"),
        *("search", "section", "summary", "svg", "table", "tbody", "td", "text", "textarea", "tfoot", "th"),
        *("thead", "tr", "ul", "xmp"),
    )
)
PREFORMATTED = frozenset(("pre", "xmp", "listing", "plaintext", "textarea"))


@cache
def classes() -> Mapping[str, str]:
    """Return the kind of each class name in ``markup.toml``."""
    return {
        name: kind
        for kind, names in read_toml("pipeline.extraction.html", "markup.toml").items()
        for name in names
    }


def kind_of(class_attribute: str | None) -> str:
    """Return the kind of the known class names, the first one in ``markup.toml`` of several; else nothing."""
    if not class_attribute:
        return ""
    known = classes()
    found = [known[name] for name in class_attribute.split() if name in known]
    return min(found, key=_order().__getitem__) if found else ""


@cache
def _order() -> Mapping[str, int]:
    return {kind: position for position, kind in enumerate(dict.fromkeys(classes().values()))}
