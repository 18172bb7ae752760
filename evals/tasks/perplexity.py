"""Perplexity of texts: bits per byte, bits per token, perplexity per token.

A long text is scored in sliding windows. Each token is scored once, in the first window that contains it,
with at least window − stride tokens of context, except at the start of the text.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.errors import ConfigError
from evals.context import EvalContext, PreparedTask, Progress, TaskResult
from evals.items import Item
from evals.likelihood import LikelihoodRequest
from evals.statistics import Bootstrap, FloatArray, Metric, ratio
from evals.suite import PerplexitySuite


def prepare(suite: PerplexitySuite, items: Sequence[Item], context: EvalContext) -> PreparedTask:
    """Tokenize the texts and split them into windows."""
    _, evaluated = context.split_shots(suite, items)
    window, stride = _window_and_stride(suite, context)
    requests: list[LikelihoodRequest] = []
    records: list[dict[str, Any]] = []
    for item in evaluated:
        text, group = item.text(suite.text), item.text(suite.group) if suite.group else ""
        ids = context.loaded.tokenizer.encode(text)
        item_requests = list(windows(context.scoring_prefix(), ids, window, stride))
        if not item_requests:
            raise item.invalid(suite.text, "must not be empty")
        for request, size in zip(item_requests, _scored_bytes(context, text, item_requests), strict=True):
            counts = {"bytes": size, "tokens": len(request.continuation)}
            records.append({"item": item.number, "place": item.location, "group": group} | counts)
        requests += item_requests
    method = f"windows of {window} tokens, stride {stride}, every token scored once"

    def run(progress: Progress) -> TaskResult:
        for record, nats in zip(records, context.log_likelihoods(requests, progress), strict=True):
            record["nats"] = -nats
        return TaskResult(_metrics(records, method, context.bootstrap), records)

    return run


def windows(
    prefix: Sequence[int], ids: Sequence[int], window: int, stride: int
) -> Iterator[LikelihoodRequest]:
    """Yield the windows of a text after ``prefix``. Their continuations, concatenated, are ``ids``."""
    tokens = [*prefix, *ids]
    scored = len(prefix)
    end = min(window, len(tokens))
    while scored < len(tokens):
        yield LikelihoodRequest(tokens[max(0, end - window) : scored], tokens[scored:end])
        scored, end = end, min(end + stride, len(tokens))


def _window_and_stride(suite: PerplexitySuite, context: EvalContext) -> tuple[int, int]:
    model_context = context.loaded.model.config.context
    window = suite.window or min(model_context or context.config.window, context.config.window)
    stride = suite.stride or window // 2
    if stride >= window or (model_context and window > model_context):
        raise ConfigError(
            f"window {window}, stride {stride}: the window must be longer than the stride and fit the "
            f"model's context{f' of {model_context}' if model_context else ''}; correct the suite"
        )
    return window, stride


def _scored_bytes(context: EvalContext, text: str, requests: Sequence[LikelihoodRequest]) -> list[int]:
    """Return the UTF-8 bytes that each window scores; their sum is the size of the text.

    Tokenizers that insert a leading space count one byte too many; the first window is corrected for it.
    """
    lengths = context.loaded.tokenizer.byte_lengths()
    sizes = [int(lengths[list(request.continuation)].sum()) for request in requests]
    sizes[0] += len(text.encode()) - sum(sizes)
    return sizes


def _metrics(records: Sequence[dict[str, Any]], method: str, bootstrap: Bootstrap) -> list[Metric]:
    """Return the metrics of all records, and of each group if there is more than one."""
    groups = sorted({record["group"] for record in records})
    subsets = [("", records)]
    if len(groups) > 1:
        subsets += [(f"/{group}", [each for each in records if each["group"] == group]) for group in groups]
    return [
        metric for suffix, subset in subsets for metric in _subset_metrics(subset, suffix, method, bootstrap)
    ]


def _subset_metrics(
    records: Sequence[dict[str, Any]], suffix: str, method: str, bootstrap: Bootstrap
) -> list[Metric]:
    nats, size, tokens = ([float(record[key]) for record in records] for key in ("nats", "bytes", "tokens"))
    method += f"; {round(sum(size)):,} bytes, {round(sum(tokens)):,} tokens; items are windows"

    def metric(
        name: str, units: Sequence[float], statistic: Callable[[FloatArray, FloatArray], float]
    ) -> Metric:
        return bootstrap.metric(f"{name}{suffix}", [nats, units], statistic, method)

    return [
        metric("bits per byte", size, lambda up, down: ratio(up, down) / math.log(2)),
        metric("bits per token", tokens, lambda up, down: ratio(up, down) / math.log(2)),
        metric("perplexity per token", tokens, lambda up, down: math.exp(ratio(up, down))),
    ]
