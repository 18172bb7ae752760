"""The latest answers, in memory: an answer is stored only once it is rated."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_CHARACTERS = 20_000_000
"""Characters of all remembered conversations together."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and the conversation before it."""

    response_id: str
    created: int
    """Unix time."""
    model: str
    model_sha256: str
    """Empty if unknown."""
    messages: Sequence[Mapping[str, str]]
    text: str
    finish_reason: str

    @property
    def size(self) -> int:
        """Number of characters."""
        return len(self.text) + sum(len(message["content"]) for message in self.messages)


class RecentAnswers:
    """Remembers the latest answers, up to :data:`MAX_CHARACTERS`; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, Answer] = OrderedDict()
        self._size = 0

    def add(self, answer: Answer) -> None:
        """Remember an answer."""
        self._answers[answer.response_id] = answer
        self._size += answer.size
        while self._size > MAX_CHARACTERS:
            self._size -= self._answers.popitem(last=False)[1].size

    def get(self, response_id: str) -> Answer | None:
        """Return the answer with this id; None if it is unknown or forgotten."""
        return self._answers.get(response_id)

    def forget(self, response_id: str) -> None:
        """Forget an answer if it is remembered."""
        if answer := self._answers.pop(response_id, None):
            self._size -= answer.size
