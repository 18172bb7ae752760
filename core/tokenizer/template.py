"""Chat templates: the Jinja environment of the transformers library, in a sandbox."""

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.errors import InputError

TEMPLATE_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""Errors that a template can raise, by ``raise_exception`` or in an expression."""
DELIMITERS = " delimiters"
"""Variable with the pair of texts to put around ``{% generation %}`` blocks. No template can name it."""


class Template:
    """A compiled chat template.

    Beyond what Jinja has, there are ``raise_exception``, ``strftime_now``, ``tojson`` without HTML escapes,
    ``break`` and ``continue``, and the tag ``{% generation %}`` around what the model is to learn.
    """

    def __init__(self, source: str, today: datetime.date | None = None) -> None:
        """Compile ``source``; ``today`` replaces the current time. Raises :class:`InputError` if invalid."""
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _clock(today)
        try:
            self._template = environment.from_string(source)
            tags = environment.parse(source).find_all(nodes.ExtensionAttribute)
        except (jinja2.TemplateError, RecursionError, SyntaxError) as error:
            raise InputError(f"the chat template is not Jinja ({_cause(error)}); correct it") from None
        self.marks_generation = any(tag.identifier == _Generation.identifier for tag in tags)
        """True if the template has ``{% generation %}`` blocks."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        names: Mapping[str, str],
        *,
        generation_prompt: bool,
        delimiters: tuple[str, str] | None = None,
    ) -> str:
        """Render a conversation, with ``generation_prompt`` up to the start of the assistant's next turn.

        ``names`` are the special tokens by role. ``delimiters`` are put around ``{% generation %}`` blocks.
        Raises :class:`InputError` if the template refuses the conversation.
        """
        variables = {
            **names,
            DELIMITERS: delimiters,
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": generation_prompt,
        }
        try:
            return self._template.render(variables)
        except TEMPLATE_ERRORS as error:
            raise InputError(
                f"the chat template refuses this conversation ({_cause(error)}); change it"
            ) from None


class _Generation(Extension):
    """The tag ``{% generation %} … {% endgeneration %}``."""

    tags = {"generation"}  # noqa: RUF012, Jinja's declaration

    def parse(self, parser: Parser) -> nodes.Node:
        """Turn the block into a call of :meth:`_delimit`."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_delimit", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _delimit(self, context: Context, caller: Macro) -> str:
        start, end = context.parent.get(DELIMITERS) or ("", "")
        return f"{start}{caller()}{end}"


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _clock(today: datetime.date | None) -> Callable[[str], str]:
    def strftime_now(layout: str) -> str:
        return (today or datetime.datetime.now()).strftime(layout)

    return strftime_now


def _raise(message: str) -> str:
    raise jinja2.TemplateError(message)


def _cause(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
