"""What every kind of suite works with, and what it gives back."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.config import EvalsConfig
from core.errors import InputError
from core.tokenizer.chat import Message
from evals.items import Item
from evals.likelihood import Request, log_likelihoods
from evals.statistics import Bootstrap, Metric
from evals.suite import Prompted, Suite
from model.loading import LoadedModel


class Progress(Protocol):
    """Told how many of how many are done."""

    def __call__(self, done: int, total: int) -> None:
        """``done`` of ``total``."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a suite found: its metrics, and one record per item for those who want to look."""

    metrics: list[Metric]
    records: list[dict[str, Any]]


Work = Callable[[Progress], Outcome]
"""A suite whose items and prompts are found sound: what remains is the computing."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The model and the settings."""

    loaded: LoadedModel
    settings: EvalsConfig

    @property
    def bootstrap(self) -> Bootstrap:
        """As the settings want it."""
        return Bootstrap(self.settings.bootstrap, self.settings.seed)

    def chats(self, suite: Suite) -> bool:
        """Whether the suite's prompts are put into the model's chat template.

        Our tokenizers always have one, but what a checkpoint of pre-training was never taught helps nobody.
        """
        taught = self.loaded.tokenizer.chat_template and self.loaded.facts["format"] != "checkpoint"
        return isinstance(suite, Prompted) and suite.chat and bool(taught)

    def start(self) -> list[int]:
        """What stands before a bare text: bos, where the tokenizer has one."""
        bos = self.loaded.tokenizer.bos
        return [] if bos is None else [bos]

    def beginning(self) -> list[int]:
        """One token before a text whose first token is scored too: bos, or the end of another text."""
        return self.start() or [self.loaded.tokenizer.eos]

    def log_likelihoods(self, requests: Sequence[Request], progress: Progress) -> list[float]:
        """Nats of each request's continuation."""
        tell = functools.partial(progress, total=len(requests))
        return log_likelihoods(self.loaded.model, requests, self.settings.batch_tokens, tell)

    def fits(self, item: Item, tokens: int) -> None:
        """Refuse more tokens than the model is made for (:class:`InputError`)."""
        context = self.loaded.model.config.context
        if context and tokens > context:
            raise InputError(
                f"{item.place}: {tokens} tokens with the answer, but the model is made for {context}; leave "
                "the item out, show fewer examples, or ask for a shorter answer in a suite of your own"
            )

    def measured(self, suite: Suite, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """The items that are shown as examples, and those that are measured."""
        shots = suite.shots if isinstance(suite, Prompted) else 0
        limit = min((each for each in (suite.limit, self.settings.limit) if each), default=len(items))
        chosen = list(items[shots : shots + limit])
        if not chosen:
            raise InputError(
                f"{items[0].place}: all {len(items)} items are shown as examples ({shots} shots): one at "
                "least must be left to measure; give more items or fewer shots"
            )
        return list(items[:shots]), chosen


def bare_text(suite: Prompted, prompt: str, shots: Sequence[tuple[str, str]]) -> str:
    """A prompt behind examples, for a model that continues text."""
    examples = [f"{asked}{suite.separator}{answer}\n\n" for asked, answer in shots]
    return "".join([*examples, prompt])


def messages(suite: Prompted, prompt: str, shots: Sequence[tuple[str, str]]) -> list[Message]:
    """A prompt behind examples, for a model that chats: each example is a turn."""
    result = [Message("system", suite.system)] if suite.system else []
    for asked, answer in shots:
        result += [Message("user", asked), Message("assistant", answer)]
    return [*result, Message("user", prompt)]
