"""Offline HTML pages: templates without scripts, one style sheet, inline SVG charts, number formats."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core.html import formats
from core.messages import duration


def environment(templates: Path) -> Environment:
    """Return an environment for the pages in the folder ``templates``, which may include ``style.css``.

    All values are escaped. The filters are those of :mod:`core.html.formats`, and ``duration``.
    """
    result = Environment(
        loader=FileSystemLoader([templates, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    result.filters |= {
        "integer": formats.integer,
        "share": formats.share,
        "number": formats.number,
        "short": formats.short,
        "duration": duration,
    }
    return result
