"""Continuing a sequence of tokens, one at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.kv_cache import KVCache
from model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn from its distribution; the filters apply in this order."""

    temperature: float = 1.0
    """Divides the logits; 0 takes the likeliest token."""
    top_k: int = 0
    """Only the ``top_k`` likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Only the fewest likeliest tokens that together are this probable (Holtzman et al. 2020); 1: all."""
    seed: int = 0


FEW = 128
"""Tokens that are sorted at first to find the likeliest ones."""


@torch.inference_mode()
def generate(
    model: Transformer,
    prompt: Sequence[int],
    tokens: int,
    sampling: Sampling,
    stop: frozenset[int] = frozenset(),
) -> Iterator[int]:
    """Yield at most ``tokens`` tokens that continue the (not empty) ``prompt``, each as soon as it is drawn.

    Ends before the first token in ``stop``. The same arguments on the same machine give the same tokens.
    """
    weight = model.embedding.weight
    generator = torch.Generator().manual_seed(sampling.seed)
    cache = KVCache(model.config, len(prompt) + tokens, dtype=weight.dtype, device=weight.device)
    unread = list(prompt)
    for _ in range(tokens):
        states = model.states(torch.tensor([unread], device=weight.device), cache=cache)
        token = draw(model.logits(states[0, -1]), sampling, generator)
        if token in stop:
            return
        yield token
        unread = [token]


def draw(logits: Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token from ``logits`` (``[vocabulary]``)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    scaled = logits.float().cpu() / sampling.temperature
    if not sampling.top_k and sampling.top_p >= 1:
        return _pick(scaled.softmax(dim=0), generator)
    chances, tokens = _likeliest(scaled, sampling)
    if sampling.top_p < 1:
        before = chances.cumsum(dim=0) - chances
        chances = torch.where(before < sampling.top_p, chances, 0.0)
    return int(tokens[_pick(chances, generator)])


def _likeliest(scaled: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Probabilities and tokens, likeliest first, as many as the filters can let through.

    Sorting a whole vocabulary takes longer than all else, and almost always a few tokens are enough.
    """
    if sampling.top_k:
        ordered, tokens = scaled.topk(min(sampling.top_k, len(scaled)))
        return ordered.softmax(dim=0), tokens
    whole, count = scaled.logsumexp(dim=0), FEW
    while True:
        ordered, tokens = scaled.topk(min(count, len(scaled)))
        chances = (ordered - whole).exp()
        if count >= len(scaled) or chances.sum() > sampling.top_p:
            return chances, tokens
        count *= 16


def _pick(chances: Tensor, generator: torch.Generator) -> int:
    """A place in ``chances``, each as often as its share of their sum says."""
    sums = chances.double().cumsum(dim=0)
    return int(torch.searchsorted(sums, torch.rand(1, generator=generator) * sums[-1], right=True))
