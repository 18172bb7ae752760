"""Autoregressive generation for one sequence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.kv_cache import KVCache
from model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling parameters; the filters apply in field order."""

    temperature: float = 1.0
    """Divides the logits; 0: greedy decoding."""
    top_k: int = 0
    """Keep only the ``top_k`` most likely tokens; 0: all."""
    top_p: float = 1.0
    """Keep the fewest most likely tokens with this total probability (Holtzman et al. 2020); 1: all."""
    seed: int = 0


INITIAL_CANDIDATES = 128
"""Tokens that top-p sampling sorts at first."""


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
    """
    weight = model.embedding.weight
    generator = torch.Generator().manual_seed(sampling.seed)
    cache = KVCache(model.config, len(prompt) + max_tokens, dtype=weight.dtype, device=weight.device)
    new_tokens = list(prompt)
    for _ in range(max_tokens):
        hidden_states = model.hidden_states(torch.tensor([new_tokens], device=weight.device), cache=cache)
        token = sample_token(model.logits(hidden_states[0, -1]), sampling, generator)
        if token in stop_tokens:
            return
        yield token
        new_tokens = [token]


def sample_token(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Sample one token from ``logits`` (``[vocabulary]``)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    scaled = logits.float().cpu() / sampling.temperature
    if not sampling.top_k and sampling.top_p >= 1:
        return _multinomial(scaled.softmax(dim=0), generator)
    probabilities, tokens = _top_candidates(scaled, sampling)
    if sampling.top_p < 1:
        preceding = probabilities.cumsum(dim=0) - probabilities
        probabilities = torch.where(preceding < sampling.top_p, probabilities, 0.0)
    return int(tokens[_multinomial(probabilities, generator)])


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
    return int(
        torch.searchsorted(cumulative, torch.rand(1, generator=generator) * cumulative[-1], right=True)
    )
