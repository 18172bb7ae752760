"""Log-likelihoods of token sequences, computed in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """Tokens to score and the tokens before them; neither is empty."""

    context: Sequence[int]
    continuation: Sequence[int]

    def __len__(self) -> int:
        return len(self.context) + len(self.continuation)


@torch.inference_mode()
def log_likelihoods(
    model: Transformer,
    requests: Sequence[LikelihoodRequest],
    batch_tokens: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[float]:
    """Return the log-likelihood of each request's continuation, in nats (0 or less).

    Requests of similar length share a forward pass of at most ``batch_tokens`` tokens, padding included; a
    longer request has its own. Attention is causal, so padding on the right does not change the results.
    """
    results = [0.0] * len(requests)
    order = sorted(range(len(requests)), key=lambda index: -len(requests[index]))
    done = 0
    while done < len(order):
        size = max(1, batch_tokens // len(requests[order[done]]))
        batch = order[done : done + size]
        for index, value in zip(batch, _forward(model, [requests[i] for i in batch]), strict=True):
            results[index] = value
        done += len(batch)
        progress(done)
    return results


def _forward(model: Transformer, requests: Sequence[LikelihoodRequest]) -> list[float]:
    """Score one batch. The last token of each sequence is a target only, not an input."""
    device = model.embedding.weight.device
    inputs = torch.zeros(len(requests), max(map(len, requests)) - 1, dtype=torch.int64)
    for row, request in enumerate(requests):
        inputs[row, : len(request) - 1] = torch.tensor([*request.context, *request.continuation][:-1])
    logits = model(inputs.to(device))
    sums = []
    for row, request in enumerate(requests):
        targets = torch.tensor(request.continuation, device=device)
        start = len(request.context) - 1
        predictions = logits[row, start : start + len(targets)].float()
        sums.append(-F.cross_entropy(predictions, targets, reduction="none").double().sum())
    values: list[float] = torch.stack(sums).tolist()
    return values
