"""Convert conversations to token ids with a chat template.

Message contents never encode to special tokens: see :mod:`core.tokenizer.control`. The ids are those of the
rendered conversation as a whole. Only where the ids of a prompt would change once its answer follows is the
conversation encoded in two parts, so that a model learns answers to the prompts that it will get.
"""

import datetime
import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from core.errors import InputError
from core.jsonl import SURROGATE
from core.tokenizer.control import ControlTokens, Rendered, split_white_space
from core.tokenizer.protocol import Encoding, Mark, Tokenizer
from core.tokenizer.template import Template

Role = Literal["system", "user", "assistant"]
OPENING = re.compile(r"(<[^<>]+>)(\s*)\Z")
PROBE = "Zqxj?"
"""Content of a message that no template contains."""
MAX_PROMPTS = 16
"""Number of answers whose prompts are rendered if the positions of all prompts cannot be derived from one."""
WINDOW = 1000
"""Characters before and after a position that decide whether tokens are separate there."""


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a conversation."""

    role: Role
    content: str


class TrainingExample(NamedTuple):
    """A tokenized conversation, or the part of one that ends with an answer."""

    ids: list[int]
    learn: list[bool]
    """True for tokens to learn."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """A conversation up to the end of an answer."""

    rendered: Rendered
    start: int
    """Start of the answer."""
    closed: bool
    """True if an end-of-turn token follows the content."""


class ChatTemplate:
    """The chat template of a tokenizer.

    ``stop`` holds further tokens that end an answer. ``today`` replaces the date that templates may write.
    Raises :class:`InputError` if the tokenizer has no template or it is not a valid Jinja template.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop: Iterable[int] = (), today: datetime.date | None = None
    ) -> None:
        self._tokenizer, self._configured_stop = tokenizer, frozenset(stop)
        if not tokenizer.chat_template:
            raise InputError(
                "this model has no chat template and only continues text; choose one that was fine-tuned on "
                "conversations, or fine-tune it"
            )
        self._template = Template(tokenizer.chat_template, today)
        names = {name: token for name, token in tokenizer.control.items() if len(name) > 1}
        self._control = ControlTokens(names, names.keys() & tokenizer.special.keys())

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation, up to and including the start of the assistant's next turn."""
        rendered = self._render(messages, generation_prompt=True)
        return self._encode(rendered, self._prompt_ends(messages, rendered)).ids

    def continuation(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a conversation up to the end of the last message's content, to be continued."""
        rendered = self._with_end(messages, len(messages) - 1)
        if rendered.end is None:
            raise InputError("the chat template leaves out the last message, so it cannot be continued")
        content = messages[-1].content
        after = content[len(content.rstrip()) :]
        end = rendered.end + len(after) * rendered.text.startswith(after, rendered.end)
        rendered = rendered.cut(end)
        return self._encode(rendered, self._prompt_ends(messages, rendered)).ids

    def example(self, messages: Sequence[Message]) -> TrainingExample:
        """Return the training example that ends last, with the last answer; raises as :meth:`examples`."""
        return self.examples(messages)[-1]

    def examples(self, messages: Sequence[Message]) -> list[TrainingExample]:
        """Return training examples in which every answer is learned once, with its end-of-turn token.

        The ids before an answer equal those of :meth:`prompt`. One example has all answers that the template
        renders the same whatever follows. Others, such as those whose reasoning is cut once the user has
        replied, have an example each. What a template cuts from an answer is learned, too. A template that
        marks with ``{% generation %}`` what is to be learned gives one example with these spans.

        Raises :class:`InputError` if the template leaves an answer out or rewrites the text before it.
        """
        whole = self._render(messages, generation_prompt=False)
        prompts = self._prompts(messages, _answers(messages))
        if self._template.marks_generation:
            return [self._example(whole, prompts.values(), whole.generated)]
        spans: list[tuple[int, int]] = []
        others: list[TrainingExample] = []
        for index, message in enumerate(messages):
            if message.role != "assistant":
                continue
            answer = self._answer(messages[: index + 1], prompts.get(index))
            text = answer.rendered.text
            if whole.text.startswith(text):
                spans.append((answer.start, len(text) if answer.closed else _end_of_turn(whole, len(text))))
            else:
                others.append(self._example(answer.rendered, prompts.values(), [(answer.start, len(text))]))
        if spans or not others:
            others.append(self._example(whole, prompts.values(), spans))
        return others

    @cached_property
    def stop(self) -> frozenset[int]:
        """Ids that end an answer: the end-of-turn token of the template, eos, and the configured ones."""
        messages = [Message("user", "x"), Message("assistant", "y"), Message("user", PROBE)]
        found = {self._tokenizer.eos, *self._configured_stop}
        for turns in (messages, messages[:2]):
            try:
                rendered = self._with_end(turns, 1)
            except InputError:  # for example, because the template requires a system message
                continue
            if rendered.end is not None:
                token = rendered.control_after(rendered.end)
                if token and token.start < (rendered.text + PROBE).index(PROBE):
                    found.add(token.token)
        return frozenset(found)

    def _prompt_ends(self, messages: Sequence[Message], rendered: Rendered) -> list[int]:
        """Return the positions in a rendered conversation at which the prompts of its answers end.

        To render each prompt takes quadratic time. Only the last one is rendered here; the others end where
        the same text follows the message before the answer. If the template does not allow this, only the
        prompts of the last answers are taken into account.
        """
        answers = _answers(messages)
        if not answers:
            return []
        ends = {answer - 1 for answer in answers}
        prompt = self._render(messages[: answers[-1]], generation_prompt=True, ends=ends)
        tail = prompt.text[prompt.end or 0 :].lstrip()
        if not prompt.ends or not tail or not rendered.text.startswith(prompt.text):
            return _ends(rendered, self._prompts(messages, answers[-MAX_PROMPTS:]).values())
        pattern = re.compile(rf"\s*{re.escape(tail)}")
        return [found.end() for end in prompt.ends if (found := pattern.match(prompt.text, end))]

    def _prompts(self, messages: Sequence[Message], answers: Iterable[int]) -> dict[int, Rendered]:
        """Return the rendered prompts of answers, by their index."""
        return {index: self._render(messages[:index], generation_prompt=True) for index in answers}

    def _answer(self, messages: Sequence[Message], prompt: Rendered | None) -> _Answer:
        """Return the conversation up to the end of its last message, an answer to ``prompt``."""
        content = messages[-1].content.strip()
        rendered = self._with_end(messages, len(messages) - 1)
        content_start = _find_backwards(rendered.text[: rendered.end or 0], content)
        if rendered.end is None or not self._continues(messages[:-1], prompt, rendered):
            raise InputError(
                f"the chat template leaves out message {len(messages)}, an answer, or renders the text "
                "before it differently once it is there; such examples are useless: correct the template"
            )
        if prompt is None:
            start = content_start or 0
        elif content_start is None:  # the template cuts the answer: restore it
            restored = self._control.interrupt(_without_opening(prompt.text, content), answer=True)
            tail = rendered.marked.rpartition(self._control.end)[2]
            rendered = self._control.find(prompt.marked + restored + self._control.end + tail)
            start = len(prompt.text)
        else:
            start = len(prompt.text)
            if not rendered.text.startswith(prompt.text):
                start = min(_common_length(prompt.text, rendered.text), content_start)
        assert rendered.end is not None
        token = rendered.control_after(rendered.end)
        return _Answer(rendered.cut(token.end if token else rendered.end), start, closed=token is not None)

    def _continues(self, before: Sequence[Message], prompt: Rendered | None, rendered: Rendered) -> bool:
        """True if a conversation continues ``prompt``, or at least the messages before the answer to it."""
        if prompt is None or rendered.text.startswith(prompt.text):
            return True
        return rendered.text.startswith(self._render(before, generation_prompt=False).text)

    def _example(
        self, rendered: Rendered, prompts: Iterable[Rendered], spans: Iterable[tuple[int, int]]
    ) -> TrainingExample:
        """Encode a conversation, with the tokens in ``spans`` to learn."""
        encoding = self._encode(rendered, _ends(rendered, prompts))
        learn = np.zeros(len(encoding.ids), np.bool_)
        for start, end in spans:
            learn |= (encoding.starts < end) & ((encoding.ends > start) | (encoding.starts >= start))
        return TrainingExample(encoding.ids, learn.tolist())

    def _encode(self, rendered: Rendered, ends: Iterable[int]) -> Encoding:
        """Encode a conversation; its ids start with those of its text up to each of ``ends``."""
        start, parts = 0, []
        for end in sorted(set(ends)):
            if not self._separates(rendered, start, end):
                parts.append(self._encode_span(rendered, start, end))
                start = end
        parts.append(self._encode_span(rendered, start, len(rendered.text)))
        return Encoding(
            [token for part in parts for token in part.ids],
            np.concatenate([part.starts for part in parts]),
            np.concatenate([part.ends for part in parts]),
        )

    def _separates(self, rendered: Rendered, start: int, end: int) -> bool:
        """True if the ids of the text from ``start`` on start with those of the text up to ``end``.

        This is decided by the text between the control tokens around ``end``, or within :data:`WINDOW`.
        """
        control, length = rendered.control, len(rendered.text)
        after = bisect_left(control, end, key=_start)
        first = max(start, end - WINDOW, control[after - 1].start if after else 0)
        last = min(length, end + WINDOW, control[after].end if after < len(control) else length)
        ids = self._encode_span(rendered, first, end).ids
        return self._encode_span(rendered, first, last).ids[: len(ids)] == ids

    def _encode_span(self, rendered: Rendered, start: int, end: int) -> Encoding:
        first, last = (bisect_left(rendered.control, position, key=_start) for position in (start, end))
        marks = [
            Mark(mark.start - start, mark.end - start, mark.token)
            for mark in rendered.control[first:last]
            if mark.end <= end
        ]
        found = self._tokenizer.encode_marked(rendered.text[start:end], marks, continues=start > 0)
        return Encoding(found.ids, found.starts + start, found.ends + start)

    def _with_end(self, messages: Sequence[Message], index: int) -> Rendered:
        """Render a conversation with the end of message ``index`` located.

        The mark of the end can make a difference to a template that looks at the last characters. In this
        case, the last occurrence of the content is taken.
        """
        marked = self._render(messages, generation_prompt=False, ends={index})
        plain = self._render(messages, generation_prompt=False)
        if marked.text == plain.text:
            return marked
        content = messages[index].content.strip()
        if not content or content not in plain.marked:
            return plain
        before, _, after = plain.marked.rpartition(content)
        return self._control.find(before + content + self._control.end + after)

    def _render(
        self, messages: Sequence[Message], *, generation_prompt: bool, ends: Collection[int] = ()
    ) -> Rendered:
        """Render a conversation, with ``generation_prompt`` up to the start of the assistant's next turn.

        The ends of the messages ``ends`` are located.
        """
        if not messages:
            raise InputError("a conversation without messages: give it at least one")
        turns = []
        for index, message in enumerate(messages):
            if SURROGATE.search(message.content):
                raise InputError(
                    f"message {index + 1} contains half of a surrogate pair, which is not text; correct it"
                )
            before, core, after = split_white_space(message.content)
            core = self._control.interrupt(core, answer=message.role == "assistant")
            mark = self._control.end if index in ends else ""
            turns.append({"role": message.role, "content": before + core + mark + after})
        return self._control.find(
            self._template.render(
                turns,
                self._tokenizer.names,
                generation_prompt=generation_prompt,
                delimiters=self._control.generation,
            )
        )


def _answers(messages: Sequence[Message]) -> list[int]:
    """Return the indices of the answers that have a prompt; an answer may also start a conversation."""
    return [index for index, message in enumerate(messages) if index and message.role == "assistant"]


def _ends(rendered: Rendered, prompts: Iterable[Rendered]) -> list[int]:
    """Return the lengths of the prompts that a conversation starts with."""
    return [len(prompt.text) for prompt in prompts if rendered.text.startswith(prompt.text)]


def _start(mark: Mark) -> int:
    return mark.start


def _end_of_turn(rendered: Rendered, position: int) -> int:
    """Return the end of the control token at ``position``, after white space; else ``position``."""
    token = rendered.control_after(position)
    return token.end if token and not rendered.text[position : token.start].strip() else position


def _common_length(first: str, second: str) -> int:
    """Return the length of the longest common prefix."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(first), len(second)))


def _find_backwards(text: str, content: str) -> int | None:
    """Return the start of ``content`` at the end of ``text``, whatever the white space; None if not there."""
    if text.endswith(content):
        return len(text) - len(content)
    characters, searched = "".join(text.split()), "".join(content.split())
    if not characters.endswith(searched):
        return None
    found = re.finditer(r"\S", text)
    return next(islice(found, len(characters) - len(searched), None)).start()


def _without_opening(prompt: str, content: str) -> str:
    """Remove a tag, such as ``<think>``, from the start of ``content`` if ``prompt`` ends with it."""
    tag = OPENING.search(prompt)
    if not tag or not content.startswith(tag[1]):
        return content
    rest = content[len(tag[1]) :]
    return rest.lstrip() if tag[2] else rest
