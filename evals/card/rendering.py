"""Render cards as Markdown, from Jinja templates that cite a source file for every number."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined, UndefinedError

from core.errors import InputError
from evals.card.provenance import JsonNode, Number

TEMPLATES = Path(__file__).with_name("templates")
ESCAPES = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " ", "\r": " ", "`": "'", "[": r"\["})
"""Characters that would end a table cell, or start HTML, code or a link."""


class Markdown(str):
    """Text that is escaped already."""


def render(template: str, content: Mapping[str, Any]) -> str:
    """Render a card.

    Raises :class:`InputError` if the template prints a number without a source file, or uses a name that
    ``content`` lacks.
    """
    formatter = _Formatter(template)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        finalize=formatter.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": formatter.count,
        "decimal": formatter.decimal,
        "percent": formatter.percent,
        "exact": formatter.exact,
        "quoted": formatter.quoted,
        "json": formatter.json,
    }
    environment.globals |= {"cite": formatter.cite, "discard_citations": formatter.discard_citations}
    try:
        return environment.get_template(template).render(content)
    except UndefinedError as error:
        raise InputError(f"{template}: {error}; use only names that the card's content has") from None


class _Formatter:
    """Format values, and collect the ids of their source files until they are cited."""

    def __init__(self, template: str) -> None:
        self._template = template
        self._uncited: set[int] = set()

    def finalize(self, value: Any) -> Markdown:
        """Format an expression without a filter: strings are escaped, numbers are printed exactly."""
        if isinstance(value, Markdown):
            return value
        if isinstance(value, (str, Undefined)):  # str() of the latter raises
            return Markdown(str(value).translate(ESCAPES))
        return self.exact(value)

    def count(self, value: Any) -> Markdown:
        """Format an integer with thousands separators."""
        return Markdown(f"{round(self._number(value)):,}")

    def decimal(self, value: Any, places: int = 3) -> Markdown:
        """Format a number with a fixed number of decimal places."""
        return Markdown(f"{self._number(value):.{places}f}")

    def percent(self, value: Any) -> Markdown:
        """Format a ratio as a percentage."""
        return Markdown(f"{100 * self._number(value):.1f} %")

    def exact(self, value: Any) -> Markdown:
        """Format a number as its source file has it."""
        number = self._number(value)
        return Markdown(repr(int(number) if number == round(number) else number))

    def quoted(self, value: Any) -> Markdown:
        """Format a string for the YAML front matter."""
        return Markdown(json.dumps(str(value), ensure_ascii=False))

    def json(self, value: JsonNode) -> Markdown:
        """Format a node as an indented code block, which its content cannot end."""
        self._uncited |= value.source_ids
        lines = json.dumps(value.json_value, indent=2, ensure_ascii=False).splitlines()
        return Markdown("\n".join(f"    {line}" for line in lines))

    def cite(self) -> Markdown:
        """List the source files of all numbers since the last citation."""
        ids = " ".join(f"[{source_id}]" for source_id in sorted(self._uncited))
        self.discard_citations()
        return Markdown(f"*From {ids}.*" if ids else "")

    def discard_citations(self) -> Markdown:
        """Forget the numbers since the last citation, for the front matter."""
        self._uncited.clear()
        return Markdown("")

    def _number(self, value: Any) -> float:
        if not isinstance(value, Number) or not value.source_ids:
            raise InputError(
                f"{self._template}: prints {value!r:.60}, a number without a source file; take it from a "
                "manifest or a results file"
            )
        self._uncited |= value.source_ids
        return value.value
