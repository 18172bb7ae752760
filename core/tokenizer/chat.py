"""Conversations to token ids, by the tokenizer's chat template.

What people write must not become a mark of the conversation. So every content is rendered between marks of
its own, and only what the template itself has written is searched for special tokens; all else is plain text.
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
"""Code points that Unicode keeps free for a program's own use."""

REFUSALS = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What a template can raise: its own refusals, and whatever its expressions meet."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class _Rendered:
    """A conversation as text."""

    text: str
    contents: list[tuple[int, int, int]]
    """Start, end and message of every stretch of ``text`` that is a message's own, in order."""

    def written(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The stretches between ``start`` and ``end`` that the template wrote."""
        for first, last, _ in self.contents:
            if first > start:
                yield start, min(first, end)
            start = max(start, last)
            if start >= end:
                return
        yield start, end


class Chat:
    """The chat template of one tokenizer.

    Raises :class:`InputError` if the tokenizer has none or it is no Jinja template.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        if not tokenizer.chat_template:
            raise InputError(
                "this model has no chat template, it only continues text: choose one that was fine-tuned on "
                "conversations, or fine-tune it"
            )
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(tokenizer.chat_template)
        except jinja2.TemplateError as error:
            cause = " ".join(str(error).split())
            raise InputError(f"the chat template is not Jinja ({cause}); correct it") from None
        names = sorted(tokenizer.special, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, names)) or r"(?!)")

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """The ids of a conversation and of the opening of the assistant's next turn."""
        rendered = self._render(messages, opening=True)
        return [number for part, _ in self._parts(messages, rendered, strict=False) for number in part]

    def example(self, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
        """The ids of a whole conversation, and of each whether it is to be learned.

        Learned are the assistant's contents and the marks that end them; up to each, the ids are those of
        :meth:`prompt`. Raises :class:`InputError` for a template that makes this impossible.
        """
        ids: list[int] = []
        learn: list[bool] = []
        for part, answer in self._parts(messages, self._render(messages, opening=False), strict=True):
            ids += part
            learn += [answer] * len(part)
        return ids, learn

    @cached_property
    def stop(self) -> frozenset[int]:
        """What ends an answer: the mark that the template puts behind one, and the tokenizer's eos."""
        turns = [Message("user", "x"), Message("assistant", "y"), Message("user", "z")]
        last = {
            part[-1]
            for said in (turns, turns[:2])
            for part, answer in self._parts(said, self._render(said, opening=False), strict=False)
            if answer
        }
        return frozenset({self._tokenizer.eos} | last & set(self._tokenizer.special.values()))

    def _parts(
        self, messages: Sequence[Message], rendered: _Rendered, *, strict: bool
    ) -> Iterator[tuple[list[int], bool]]:
        """The ids of what stands between answers, and of the answers with their end marks, in turn.

        An answer that the template does not repeat as it was asked for is refused if ``strict``, else it is
        not told apart.
        """
        place = 0
        for index, message in enumerate(messages):
            found = self._answer(messages[:index], rendered, index) if message.role == "assistant" else None
            if found is not None:
                start, end = found
                yield self._ids(rendered, place, start), False
                yield self._ids(rendered, start, end), True
                place = end
            elif strict and message.role == "assistant":
                raise InputError(
                    f"the chat template leaves out message {index + 1}, an answer, or writes what stands "
                    "before it otherwise once it is there; no model can learn from that: correct the template"
                )
        yield self._ids(rendered, place, len(rendered.text)), False

    def _answer(self, before: Sequence[Message], rendered: _Rendered, index: int) -> tuple[int, int] | None:
        """Where the text of the answer ``index`` starts, and where it ends, its end mark included.

        None if it does not stand behind the opening by which it would be asked for.
        """
        own = [place for place, (_, _, message) in enumerate(rendered.contents) if message == index]
        if not own:
            return None
        opening = rendered.text[: rendered.contents[own[0]][0]]
        if before:
            opening = self._render(before, opening=True).text
        if not rendered.text.startswith(opening):
            return None
        end = rendered.contents[own[-1]][1]
        others = rendered.contents[own[-1] + 1 :]
        mark = self._marks.search(rendered.text, end, others[0][0] if others else len(rendered.text))
        return len(opening), mark.end() if mark else end

    def _ids(self, rendered: _Rendered, start: int, end: int) -> list[int]:
        """The ids of a stretch of text; special tokens are found only in what the template wrote."""
        ids: list[int] = []
        for first, last in rendered.written(start, end):
            for mark in self._marks.finditer(rendered.text, first, last):
                ids += self._tokenizer.encode(rendered.text[start : mark.start()])
                ids.append(self._tokenizer.special[mark[0]])
                start = mark.end()
        return ids + self._tokenizer.encode(rendered.text[start:end])

    def _render(self, messages: Sequence[Message], *, opening: bool) -> _Rendered:
        """Render a conversation; ``opening``: with the opening of the assistant's next turn."""
        if not messages:
            raise InputError("a conversation without messages: give it at least one")
        salt = _salt([self._tokenizer.chat_template, *(message.content for message in messages)])
        turns = [
            {"role": message.role, "content": _enclosed(message.content, f"{salt}{index}{END}")}
            for index, message in enumerate(messages)
        ]
        try:
            text = self._template.render(
                messages=turns, add_generation_prompt=opening, **self._tokenizer.names
            )
        except REFUSALS as error:
            cause = " ".join(str(error).split())
            raise InputError(f"the chat template refuses this conversation ({cause}); change it") from None
        return _read(text, salt)


def _salt(texts: Sequence[str]) -> str:
    """The beginning of a mark that none of the texts holds."""
    number = 0
    while any(f"{START}{number}." in text for text in texts):
        number += 1
    return f"{START}{number}."


def _enclosed(content: str, mark: str) -> str:
    """``content`` between two marks. White space at its ends stays outside: templates may strip it."""
    core = content.strip()
    before, _, after = content.partition(core) if core else (content, "", "")
    return f"{before}{mark}{core}{mark}{after}"


def _read(rendered: str, salt: str) -> _Rendered:
    """Take the marks out again."""
    parts = re.split(f"{re.escape(salt)}([0-9]+){END}", rendered)
    text, contents = "", []
    marks = parts[1::2]
    if marks[::2] != marks[1::2]:
        raise InputError("the chat template cuts messages into pieces; correct it")
    for index, part in enumerate(parts[::2]):
        if index % 2:
            contents.append((len(text), len(text) + len(part), int(marks[index])))
        text += part
    return _Rendered(text, contents)


def _refuse(message: str) -> str:
    raise jinja2.TemplateError(message)
