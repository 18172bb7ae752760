"""Answers of a model in this very process, for the terminal chat."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from core.errors import InputError
from core.tokenizer.chat import ChatTemplate, Message, Role
from model import loading
from model.config import DEFAULT_CONTEXT
from model.generation import Sampling, generate
from serve.text import Detokenizer


class Model:
    """A loaded chat model. Raises what :func:`model.loading.load` raises, and :class:`InputError` for a
    model that has no chat template.
    """

    def __init__(self, path: str, temperature: float, tokens: int) -> None:
        self._loaded = loading.load(path)
        self._chat: ChatTemplate = self._loaded.chat
        self._temperature, self._tokens = temperature, tokens

    def answer(self, turns: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
        """The pieces of an answer; beside each, empty until the last, why it ended.

        Raises :class:`InputError` for a conversation that is too long.
        """
        loaded = self._loaded
        prompt = self._chat.prompt([Message(cast(Role, turn["role"]), turn["content"]) for turn in turns])
        context = loaded.model.config.context or DEFAULT_CONTEXT
        limit = min(self._tokens, context - len(prompt))
        if limit < 1:
            raise InputError(
                f"the conversation has {len(prompt)} tokens, the model reads {context}; begin anew (/reset)"
            )
        detokenizer = Detokenizer(loaded.tokenizer, prompt)
        sampling = Sampling(self._temperature, seed=secrets.randbits(63))
        drawn = 0
        for token in generate(loaded.model, prompt, limit, sampling, self._chat.stop):
            drawn += 1
            yield detokenizer.push(token), ""
        yield detokenizer.flush(), "length" if drawn == limit else "stop"
