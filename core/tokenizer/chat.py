"""Convert conversations to token ids with a chat template.

Message contents must never encode to special tokens. Each content is rendered between unique delimiters, and
special tokens are recognised only in text that the template itself has written.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.errors import InputError
from core.tokenizer.protocol import Tokenizer

START, END = "\ufdd0", "\ufdd1"
"""Delimiters: Unicode noncharacters, reserved for internal use."""

TEMPLATE_ERRORS = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors that a template can raise, by ``raise_exception`` or in an expression."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A conversation rendered as text."""

    text: str
    contents: list[tuple[int, int, int]]
    """Start, end and message index of every span of ``text`` that is message content, in order."""

    def template_spans(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the spans between ``start`` and ``end`` that the template wrote."""
        for first, last, _ in self.contents:
            if first > start:
                yield start, min(first, end)
            start = max(start, last)
            if start >= end:
                return
        yield start, end


class ChatTemplate:
    """The chat template of a tokenizer.

    Raises :class:`InputError` if the tokenizer has none or it is not a valid Jinja template.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise InputError(
                "this model has no chat template and only continues text; choose one that was fine-tuned on "
                "conversations, or fine-tune it"
            )
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        try:
            self._template = environment.from_string(tokenizer.chat_template)
        except jinja2.TemplateError as error:
            cause = " ".join(str(error).split())
            raise InputError(f"the chat template is not Jinja ({cause}); correct it") from None
        names = sorted(tokenizer.special, key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation, up to and including the start of the assistant's next turn."""
        rendered = self._render(messages, generation_prompt=True)
        return [token for part, _ in self._parts(messages, rendered, strict=False) for token in part]

    def example(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """Return the ids of a training example, and a loss mask that is True for tokens to learn.

        These are the assistant's messages with their end-of-turn tokens. The ids before each equal those of
        :meth:`prompt`. Raises :class:`InputError` if the template makes this impossible.
        """
        ids: list[int] = []
        mask: list[bool] = []
        rendered = self._render(messages, generation_prompt=False)
        for part, is_answer in self._parts(messages, rendered, strict=True):
            ids += part
            mask += [is_answer] * len(part)
        return ids, mask

    @cached_property
    def stop(self) -> frozenset[int]:
        """Ids that end an answer: the end-of-turn token of the template, and the tokenizer's eos."""
        messages = [Message("user", "x"), Message("assistant", "y"), Message("user", "z")]
        last = {
            part[-1]
            for turns in (messages, messages[:2])
            for part, is_answer in self._parts(
                turns, self._render(turns, generation_prompt=False), strict=False
            )
            if is_answer
        }
        return frozenset({self._tokenizer.eos} | last & set(self._tokenizer.special.values()))

    def _parts(
        self, messages: Sequence[Message], rendered: _Rendered, *, strict: bool
    ) -> Iterator[tuple[list[int], bool]]:
        """Yield the ids of each answer with its end-of-turn token, and of the text between answers, in order.

        The second value is True for answers. An answer whose rendering does not start with its own prompt is
        an error if ``strict``, otherwise it is not separated from the text around it.
        """
        position = 0
        for index, message in enumerate(messages):
            span = self._answer(messages[:index], rendered, index) if message.role == "assistant" else None
            if span is not None:
                start, end = span
                yield self._ids(rendered, position, start), False
                yield self._ids(rendered, start, end), True
                position = end
            elif strict and message.role == "assistant":
                raise InputError(
                    f"the chat template leaves out message {index + 1}, an answer, or renders the text "
                    "before it differently once it is there; such examples are useless: correct the template"
                )
        yield self._ids(rendered, position, len(rendered.text)), False

    def _answer(self, before: Sequence[Message], rendered: _Rendered, index: int) -> tuple[int, int] | None:
        """Return start and end of the text of answer ``index``, including its end-of-turn token.

        None if the template leaves it out or does not render the prompt for it in front of it.
        """
        own = [number for number, (_, _, message) in enumerate(rendered.contents) if message == index]
        if not own:
            return None
        prompt = rendered.text[: rendered.contents[own[0]][0]]
        if before:
            prompt = self._render(before, generation_prompt=True).text
        if not rendered.text.startswith(prompt):
            return None
        end = rendered.contents[own[-1]][1]
        following = rendered.contents[own[-1] + 1 :]
        limit = following[0][0] if following else len(rendered.text)
        end_of_turn = self._special.search(rendered.text, end, limit)
        return len(prompt), end_of_turn.end() if end_of_turn else end

    def _ids(self, rendered: _Rendered, start: int, end: int) -> list[int]:
        """Encode a span of text. Special tokens are recognised only in text that the template wrote."""
        ids: list[int] = []
        for first, last in rendered.template_spans(start, end):
            for match in self._special.finditer(rendered.text, first, last):
                ids += self._tokenizer.encode(rendered.text[start : match.start()])
                ids.append(self._tokenizer.special[match[0]])
                start = match.end()
        return ids + self._tokenizer.encode(rendered.text[start:end])

    def _render(self, messages: Sequence[Message], *, generation_prompt: bool) -> _Rendered:
        """Render a conversation, with ``generation_prompt`` up to the start of the assistant's next turn."""
        if not messages:
            raise InputError("a conversation without messages: give it at least one")
        prefix = _unused_prefix([self._tokenizer.chat_template, *(message.content for message in messages)])
        turns = [
            {"role": message.role, "content": _delimit(message.content, f"{prefix}{index}{END}")}
            for index, message in enumerate(messages)
        ]
        try:
            text = self._template.render(
                messages=turns, add_generation_prompt=generation_prompt, **self._tokenizer.names
            )
        except TEMPLATE_ERRORS as error:
            cause = " ".join(str(error).split())
            raise InputError(f"the chat template refuses this conversation ({cause}); change it") from None
        return _strip_delimiters(text, prefix)


def _unused_prefix(texts: Sequence[str]) -> str:
    """Return a prefix for delimiters that occurs in none of the texts."""
    number = 0
    while any(f"{START}{number}." in text for text in texts):
        number += 1
    return f"{START}{number}."


def _delimit(content: str, delimiter: str) -> str:
    """Enclose ``content`` in delimiters. White space at its ends stays outside: templates may strip it."""
    core = content.strip()
    before, _, after = content.partition(core) if core else (content, "", "")
    return f"{before}{delimiter}{core}{delimiter}{after}"


def _strip_delimiters(rendered: str, prefix: str) -> _Rendered:
    """Remove the delimiters and record the content spans."""
    parts = re.split(f"{re.escape(prefix)}([0-9]+){END}", rendered)
    text, contents = "", []
    messages = parts[1::2]
    if messages[::2] != messages[1::2]:
        raise InputError("the chat template splits or cuts message contents; correct it")
    for index, part in enumerate(parts[::2]):
        if index % 2:
            contents.append((len(text), len(text) + len(part), int(messages[index])))
        text += part
    return _Rendered(text, contents)


def _raise(message: str) -> str:
    raise jinja2.TemplateError(message)
