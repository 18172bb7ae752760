"""How likely a model finds tokens that follow others, many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens to read (not empty) and tokens whose likelihood after them is asked for (not empty)."""

    context: Sequence[int]
    continuation: Sequence[int]

    def __len__(self) -> int:
        return len(self.context) + len(self.continuation)


@torch.inference_mode()
def log_likelihoods(
    model: Transformer,
    requests: Sequence[Request],
    batch_tokens: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """Nats (0 or less) of each request's continuation.

    Requests of like length share a forward pass of at most ``batch_tokens`` tokens with their padding, or of
    one request. Attention is causal, so that padding behind a sequence changes nothing.
    """
    results = [0.0] * len(requests)
    order = sorted(range(len(requests)), key=lambda index: -len(requests[index]))
    done = 0
    while done < len(order):
        size = max(1, batch_tokens // len(requests[order[done]]))
        chosen = order[done : done + size]
        for index, value in zip(chosen, _forward(model, [requests[i] for i in chosen]), strict=True):
            results[index] = value
        done += len(chosen)
        progress(done)
    return results


def _forward(model: Transformer, requests: Sequence[Request]) -> list[float]:
    """One forward pass; the last token of each sequence is predicted only, never read."""
    device = model.embedding.weight.device
    inputs = torch.zeros(len(requests), max(map(len, requests)) - 1, dtype=torch.int64)
    for row, request in enumerate(requests):
        inputs[row, : len(request) - 1] = torch.tensor([*request.context, *request.continuation][:-1])
    logits = model(inputs.to(device))
    sums = []
    for row, request in enumerate(requests):
        targets = torch.tensor(request.continuation, device=device)
        begin = len(request.context) - 1
        own = logits[row, begin : begin + len(targets)].float()
        sums.append(-F.cross_entropy(own, targets, reduction="none").double().sum())
    values: list[float] = torch.stack(sums).tolist()
    return values
