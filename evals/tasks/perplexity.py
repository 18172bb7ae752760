"""How surprising texts are: bits per byte, bits per token, perplexity.

A long text is read through a window that slides by its stride. Each token is scored once, in the first window
that reaches it, with at least window − stride tokens before it (but for the text's own beginning).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from core.errors import ConfigError
from evals.context import Bench, Outcome, Progress, Work
from evals.items import Item
from evals.likelihood import Request
from evals.statistics import Bootstrap, Floats, Metric, ratio
from evals.suite import Perplexity


def prepare(suite: Perplexity, items: Sequence[Item], bench: Bench) -> Work:
    """Tokenize the texts and cut them into windows."""
    _, measured = bench.measured(suite, items)
    window, stride = _window(suite, bench)
    requests: list[Request] = []
    records: list[dict[str, Any]] = []
    for item in measured:
        text, group = item.text(suite.text), item.text(suite.group) if suite.group else ""
        own = list(windows(bench.beginning(), bench.loaded.tokenizer.encode(text), window, stride))
        if not own:
            raise item.wrong(suite.text, "must be some text")
        for request, size in zip(own, _sizes(bench, text, own), strict=True):
            counts = {"bytes": size, "tokens": len(request.continuation)}
            records.append({"item": item.number, "place": item.place, "group": group} | counts)
        requests += own
    method = f"windows of {window} tokens moved by {stride}, every token scored once"

    def work(progress: Progress) -> Outcome:
        for record, value in zip(records, bench.log_likelihoods(requests, progress), strict=True):
            record["nats"] = -value
        return Outcome(_metrics(records, method, bench.bootstrap), records)

    return work


def windows(begin: Sequence[int], ids: Sequence[int], window: int, stride: int) -> Iterator[Request]:
    """The windows of a text behind ``begin``; their continuations, joined, are ``ids``."""
    tokens = [*begin, *ids]
    scored = len(begin)
    end = min(window, len(tokens))
    while scored < len(tokens):
        yield Request(tokens[max(0, end - window) : scored], tokens[scored:end])
        scored, end = end, min(end + stride, len(tokens))


def _window(suite: Perplexity, bench: Bench) -> tuple[int, int]:
    context = bench.loaded.model.config.context
    window = suite.window or min(context or bench.settings.window, bench.settings.window)
    stride = suite.stride or window // 2
    if stride >= window or (context and window > context):
        raise ConfigError(
            f"window {window}, stride {stride}: a window must be longer than its stride and fit the model's "
            f"context{f' of {context}' if context else ''}; correct the suite"
        )
    return window, stride


def _sizes(bench: Bench, text: str, own: Sequence[Request]) -> list[int]:
    """UTF-8 bytes that each window scores; together the text's, every byte once.

    A tokenizer that puts a space before a text would count one that is not there: the first window makes up
    for it.
    """
    lengths = bench.loaded.tokenizer.byte_lengths()
    sizes = [int(lengths[list(request.continuation)].sum()) for request in own]
    sizes[0] += len(text.encode()) - sum(sizes)
    return sizes


def _metrics(records: Sequence[dict[str, Any]], method: str, bootstrap: Bootstrap) -> list[Metric]:
    """Of all, and of each group where there is more than one."""
    groups = sorted({record["group"] for record in records})
    named = [("", records)]
    if len(groups) > 1:
        named += [(f"/{group}", [each for each in records if each["group"] == group]) for group in groups]
    return [metric for suffix, own in named for metric in _of(own, suffix, method, bootstrap)]


def _of(records: Sequence[dict[str, Any]], suffix: str, method: str, bootstrap: Bootstrap) -> list[Metric]:
    nats, size, tokens = ([float(record[key]) for record in records] for key in ("nats", "bytes", "tokens"))
    said = f"{method}; {round(sum(size)):,} bytes, {round(sum(tokens)):,} tokens; items are windows"

    def measure(name: str, units: Sequence[float], value: Callable[[Floats, Floats], float]) -> Metric:
        return bootstrap.metric(f"{name}{suffix}", [nats, units], value, said)

    return [
        measure("bits per byte", size, lambda up, down: ratio(up, down) / math.log(2)),
        measure("bits per token", tokens, lambda up, down: ratio(up, down) / math.log(2)),
        measure("perplexity per token", tokens, lambda up, down: math.exp(ratio(up, down))),
    ]
