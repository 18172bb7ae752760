"""Cards as Markdown, from Jinja templates that print no number without an artefact."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined, UndefinedError

from core.errors import InputError
from evals.artefacts import Artefacts, Number, Source

TEMPLATES = Path(__file__).with_name("templates")
ACTIVE = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " ", "\r": " ", "`": "'", "[": r"\["})
"""What would end a table's cell, or begin HTML, code or a link."""


class Text(str):
    """Markdown that is ready."""


def render(template: str, content: Mapping[str, Any]) -> str:
    """The card. ``content`` holds ``artefacts``, the :class:`Artefacts` behind it.

    Raises :class:`InputError` where the template prints a number that no artefact stands behind, or names
    what the content does not have.
    """
    printer = _Printer(template, content["artefacts"])
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        finalize=printer.finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": printer.count,
        "decimal": printer.decimal,
        "percent": printer.percent,
        "exact": printer.exact,
        "quoted": printer.quoted,
        "json": printer.json,
    }
    environment.globals["sources"] = printer.sources
    try:
        return environment.get_template(template).render(content)
    except UndefinedError as error:
        raise InputError(f"{template}: {error}; the template must name what a card knows") from None


class _Printer:
    """Prints values, and remembers the artefacts behind the numbers since the last list of sources."""

    def __init__(self, template: str, artefacts: Artefacts) -> None:
        self._template = template
        self._artefacts = artefacts
        self._cited: set[int] = set()

    def finalize(self, value: Any) -> Text:
        """How a template's expression is printed: strings escaped, numbers in full."""
        if isinstance(value, Text):
            return value
        if isinstance(value, (str, Undefined)):  # the latter raises when it becomes a string
            return Text(str(value).translate(ACTIVE))
        return self.exact(value)

    def count(self, value: Any) -> Text:
        """A whole number."""
        return Text(f"{round(self._number(value)):,}")

    def decimal(self, value: Any, places: int = 3) -> Text:
        """A number with so many decimal places."""
        return Text(f"{self._number(value):.{places}f}")

    def percent(self, value: Any) -> Text:
        """A share."""
        return Text(f"{100 * self._number(value):.1f} %")

    def exact(self, value: Any) -> Text:
        """A number as its artefact has it."""
        number = self._number(value)
        return Text(repr(int(number) if number == round(number) else number))

    def quoted(self, value: Any) -> Text:
        """A string for the YAML of the front matter."""
        return Text(json.dumps(str(value), ensure_ascii=False))

    def json(self, value: Source) -> Text:
        """A part of an artefact, whole, as an indented block of code, which no text can end."""
        self._cited |= value.behind
        lines = json.dumps(value.tree, indent=2, ensure_ascii=False).splitlines()
        return Text("\n".join(f"    {line}" for line in lines))

    def sources(self, quiet: bool = False) -> Text:
        """The artefacts behind the numbers since this was last called; ``quiet``: only forget them."""
        numbers = " ".join(f"[{number}]" for number in sorted(self._cited))
        self._cited.clear()
        return Text(f"*From {numbers}.*" if numbers and not quiet else "")

    def _number(self, value: Any) -> float:
        if not isinstance(value, Number) or not value.behind:
            raise InputError(
                f"{self._template}: prints {value!r:.60}, a number that no artefact stands behind; take it "
                "from a manifest or a result file"
            )
        self._cited |= value.behind
        return value.value
