"""Sampling, and autoregressive generation for one sequence."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from core.errors import ModelError
from model.kv_cache import KVCache
from model.transformer import Transformer

GREEDY_TEMPERATURE = 1e-5
"""Decoding is greedy below this temperature, where float32 hardly represents the scaled logits."""
NOT_FINITE = (
    "the model's output is not finite; its weights are damaged, or the precision is too low: use float32"
)
INITIAL_CANDIDATES = 128
"""Tokens that top-p sampling sorts at first."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters. Bias and penalties change the logits; the filters then apply in field order."""

    temperature: float = 1.0
    """Divides the logits; below :data:`GREEDY_TEMPERATURE`: greedy decoding."""
    top_k: int = 0
    """Keep only the ``top_k`` most likely tokens; 0: all."""
    top_p: float = 1.0
    """Keep the fewest most likely tokens with this total probability, at least one (Holtzman et al. 2020);
    1: all."""
    seed: int = 0
    presence_penalty: float = 0.0
    """Subtracted from the logits of tokens that were generated before."""
    frequency_penalty: float = 0.0
    """Subtracted from the logits of generated tokens once per occurrence."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of these tokens."""

    @property
    def is_greedy(self) -> bool:
        """True if the most likely token is chosen each time."""
        return self.temperature < GREEDY_TEMPERATURE

    @property
    def is_argmax(self) -> bool:
        """True if the token with the largest logit of the model is chosen each time."""
        return self.is_greedy and not (self.logit_bias or self.presence_penalty or self.frequency_penalty)


class Sampler:
    """Samples the tokens of one sequence, one after the other."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._generator = torch.Generator().manual_seed(sampling.seed % 2**64)
        self._counts: Counter[int] = Counter()
        """Occurrences of the generated tokens."""

    def sample(self, logits: Tensor) -> int:
        """Return the next token, from ``logits`` (``[vocabulary]``).

        Raises :class:`ModelError` if the logits are not finite.
        """
        token = sample_token(self._adjusted(logits), self.sampling, self._generator)
        self._counts[token] += 1
        return token

    def _adjusted(self, logits: Tensor) -> Tensor:
        """Return the logits with bias and penalties."""
        sampling = self.sampling
        change = dict(sampling.logit_bias)
        if sampling.presence_penalty or sampling.frequency_penalty:
            for token, count in self._counts.items():
                penalty = sampling.presence_penalty + count * sampling.frequency_penalty
                change[token] = change.get(token, 0.0) - penalty
        if not change:
            return logits
        tokens = torch.tensor(list(change), device=logits.device)
        changes = torch.tensor(list(change.values()), dtype=torch.float32, device=logits.device)
        return logits.float().index_add(0, tokens, changes)


@torch.inference_mode()
def generate(
    model: Transformer,
    prompt: Sequence[int],
    max_tokens: int,
    sampling: Sampling,
    stop_tokens: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """Yield up to ``max_tokens`` tokens that continue the non-empty ``prompt``.

    Ends before the first token in ``stop_tokens``. Equal arguments on the same machine give equal tokens.
    Raises :class:`ModelError` if the model's logits are not finite.
    """
    weight = model.embedding.weight
    sampler = Sampler(sampling)
    cache = KVCache(model.config, len(prompt) + max_tokens, dtype=weight.dtype, device=weight.device)
    new_tokens = list(prompt)
    for _ in range(max_tokens):
        hidden_states = model.hidden_states(torch.tensor([new_tokens], device=weight.device), cache=cache)
        token = sampler.sample(model.logits(hidden_states[0, -1]))
        if token in stop_tokens:
            return
        yield token
        new_tokens = [token]


def sample_token(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Sample one token from ``logits`` (``[vocabulary]``), without bias and penalties.

    Raises :class:`ModelError` if the logits are not finite.
    """
    largest, token = logits.max(dim=0)
    check_finite(float(largest))
    if sampling.is_greedy:
        return int(token)
    scaled = (logits.float().cpu() - float(largest)) / sampling.temperature  # at most 0: cannot overflow
    if not sampling.top_k and sampling.top_p >= 1:
        return _multinomial(scaled.softmax(dim=0), generator)
    probabilities, tokens = _top_candidates(scaled, sampling)
    if sampling.top_p < 1:
        preceding = probabilities.cumsum(dim=0) - probabilities
        probabilities[1:] = torch.where(preceding[1:] < sampling.top_p, probabilities[1:], 0.0)
    return int(tokens[_multinomial(probabilities, generator)])


def check_finite(largest_logit: float) -> None:
    """Raise :class:`ModelError` unless the largest logit is finite, which it is not if any is NaN."""
    if not math.isfinite(largest_logit):
        raise ModelError(NOT_FINITE)


def _top_candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Return probabilities and ids of all tokens that can pass the filters, most likely first.

    Sorting the whole vocabulary would dominate the cost; a few candidates almost always suffice.
    """
    if sampling.top_k:
        top_logits, tokens = logits.topk(min(sampling.top_k, len(logits)))
        return top_logits.softmax(dim=0), tokens
    log_total, count = logits.logsumexp(dim=0), INITIAL_CANDIDATES
    while True:
        top_logits, tokens = logits.topk(min(count, len(logits)))
        probabilities = (top_logits - log_total).exp()
        if count >= len(logits) or probabilities.sum() > sampling.top_p:
            return probabilities, tokens
        count *= 16


def _multinomial(weights: Tensor, generator: torch.Generator) -> int:
    """Sample an index in proportion to ``weights``, which need not sum to 1."""
    cumulative = weights.double().cumsum(dim=0)
    drawn = torch.rand(1, generator=generator) * cumulative[-1]
    last = torch.searchsorted(cumulative, cumulative[-1:])  # of the indices with a weight
    return int(torch.minimum(torch.searchsorted(cumulative, drawn, right=True), last))
