"""Run a chat model in this process."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from core.errors import InputError
from core.tokenizer.chat import ChatTemplate, Message, Role
from model import loading
from model.config import DEFAULT_CONTEXT
from model.generation import Sampling, generate
from serve.text import Detokenizer


class LocalModel:
    """A loaded chat model.

    Raises the errors of :func:`model.loading.load`, and :class:`InputError` if there is no chat template.
    """

    def __init__(self, path: str, temperature: float, max_tokens: int) -> None:
        self._loaded = loading.load(path)
        self._chat: ChatTemplate = self._loaded.chat
        self._temperature, self._max_tokens = temperature, max_tokens

    def stream(self, messages: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
        """Yield the chunks of an answer, each with its finish reason, which is empty before the last.

        Raises :class:`InputError` for a conversation that is too long.
        """
        loaded = self._loaded
        prompt = self._chat.prompt(
            [Message(cast(Role, message["role"]), message["content"]) for message in messages]
        )
        context = loaded.model.config.context or DEFAULT_CONTEXT
        limit = min(self._max_tokens, context - len(prompt))
        if limit < 1:
            raise InputError(
                f"the conversation has {len(prompt)} tokens, but the model's context is {context}; start a "
                "new one with /reset"
            )
        detokenizer = Detokenizer(loaded.tokenizer, prompt)
        sampling = Sampling(self._temperature, seed=secrets.randbits(63))
        num_tokens = 0
        for token in generate(loaded.model, prompt, limit, sampling, self._chat.stop):
            num_tokens += 1
            yield detokenizer.push(token), ""
        yield detokenizer.flush(), "length" if num_tokens == limit else "stop"
