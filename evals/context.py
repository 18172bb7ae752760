"""Interface between the evaluation and its task types: the model and settings in, a result out."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from core.config import EvalsConfig
from core.errors import InputError
from evals.items import Item
from evals.likelihood import LikelihoodRequest, log_likelihoods
from evals.statistics import Bootstrap, Metric
from evals.suite import PromptedSuite, Suite
from model.loading import LoadedModel


class Progress(Protocol):
    """Callback that receives the number of finished requests and their total."""

    def __call__(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` requests are finished."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Metrics of a task, and one JSON record for each sample that they summarize."""

    metrics: list[Metric]
    records: list[dict[str, Any]]


PreparedTask = Callable[[Progress], TaskResult]
"""A task whose items and prompts are checked; calling it runs the model."""


@dataclass(frozen=True, slots=True)
class EvalContext:
    """The model under evaluation and the settings."""

    loaded: LoadedModel
    config: EvalsConfig

    @property
    def bootstrap(self) -> Bootstrap:
        """Resampling with the configured seed and number of resamples."""
        return Bootstrap(self.config.bootstrap, self.config.seed)

    def uses_chat_template(self, suite: Suite) -> bool:
        """True if the suite's prompts are put into the model's chat template.

        Every tokenizer of ours has a template, but a pre-trained checkpoint was not trained to follow it.
        """
        trained_to_chat = self.loaded.tokenizer.chat_template and self.loaded.facts["format"] != "checkpoint"
        return isinstance(suite, PromptedSuite) and suite.chat and bool(trained_to_chat)

    def bos_prefix(self) -> list[int]:
        """Return the bos token, or nothing if the tokenizer has none."""
        bos = self.loaded.tokenizer.bos
        return [] if bos is None else [bos]

    def scoring_prefix(self) -> list[int]:
        """Return one token of context for texts whose first token is scored: bos, or else eos."""
        return self.bos_prefix() or [self.loaded.tokenizer.eos]

    def log_likelihoods(self, requests: Sequence[LikelihoodRequest], progress: Progress) -> list[float]:
        """Return the log-likelihood of each request's continuation, in nats."""
        report = functools.partial(progress, total=len(requests))
        return log_likelihoods(self.loaded.model, requests, self.config.batch_tokens, report)

    def check_length(self, item: Item, tokens: int) -> None:
        """Raise :class:`InputError` if ``tokens`` exceed the model's context."""
        context = self.loaded.model.config.context
        if context and tokens > context:
            raise InputError(
                f"{item.location}: {tokens} tokens with the answer, but the model's context is {context}; "
                "remove the item, or set fewer shots or a shorter answer in a suite of your own"
            )

    def split_shots(self, suite: Suite, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """Return the few-shot examples and the items to evaluate, both within the limits."""
        shots = suite.shots if isinstance(suite, PromptedSuite) else 0
        limit = min((each for each in (suite.limit, self.config.limit) if each), default=len(items))
        evaluated = list(items[shots : shots + limit])
        if not evaluated:
            raise InputError(
                f"{items[0].location}: all {len(items)} items are few-shot examples (shots = {shots}): "
                "at least one must remain to be evaluated; give more items or set fewer shots"
            )
        return list(items[:shots]), evaluated
