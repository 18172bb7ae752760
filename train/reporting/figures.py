"""The charts of ``training.html``."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from core.html.curves import COLOURS, Series, chart
from train.losses import LossSums
from train.reporting.history import History
from train.reporting.metrics import MEMORY

MAX_SOURCES = COLOURS - 2
"""Sources with curves of their own, the first by name; a table has all."""
TRAINING = COLOURS - 1
"""Colour of training beside validation."""


class Figure(NamedTuple):
    """A chart with what is said about it."""

    title: str
    caption: str
    svg: Markup
    series: Sequence[Series]
    """Those in the legend."""


def figures(history: History) -> Iterator[Figure]:
    """Yield the charts of all metrics that the run has."""
    skipped = [step for step, _ in history.skipped]
    caption = f"In nats per token.{' Dashed: skipped steps, without their losses.' if skipped else ''}"
    yield from _figure("Training loss", caption, _of_training(history), marks=skipped)
    validation = _by_source(history, "val/loss")
    yield from _figure("Validation loss", "In nats per token, of the same rows each time.", validation)
    for name, title, caption in (
        ("bpb", "Bits per byte", "Of text, comparable between tokenizers."),
        ("perplexity", "Perplexity", "Per token, on a logarithmic axis."),
    ):
        points = history.points("train/bpb" if name == "bpb" else "train/loss", smooth=True)
        if name == "perplexity":
            points = [(step, LossSums(loss, 1).perplexity) for step, loss in points]
        beside = [Series("training, smoothed", points, TRAINING)] if points else []
        series = [*_by_source(history, f"val/{name}", "validation, all"), *beside]
        yield from _figure(title, caption, series, logarithmic=name == "perplexity")
    rate = list(_series(history, "train/lr", "learning rate"))
    yield from _figure("Learning rate", "After warm-up, by the schedule.", rate, from_zero=True)
    for name, title, caption in (
        ("train/grad_norm", "Gradient norm", "Before clipping."),
        ("perf/tok_per_sec", "Throughput", "Tokens per second, padding included."),
        ("perf/data_wait", "Data wait", "Seconds of each step spent waiting for data, in the first process."),
        ("perf/mfu", "Model FLOPs utilization", "Share of the peak of the GPUs."),
    ):
        yield from _figure(title, caption, _raw_and_smoothed(history, name, "all"), from_zero=True)
    memory = list(_series(history, MEMORY, "memory"))
    yield from _figure(
        "Memory", "Largest amount so far in the first process, in GiB.", memory, from_zero=True
    )


def _figure(
    title: str,
    caption: str,
    series: Sequence[Series],
    *,
    logarithmic: bool = False,
    from_zero: bool = False,
    marks: Sequence[int] = (),
) -> Iterator[Figure]:
    """Yield the chart if there is a curve."""
    if series:
        svg = chart(title, series, logarithmic=logarithmic, from_zero=from_zero, marks=marks)
        yield Figure(title, caption, svg, [each for each in series if not each.raw])


def _of_training(history: History) -> list[Series]:
    """Return the training loss, in total and of the first sources."""
    total = _raw_and_smoothed(history, "train/loss", "all, smoothed")
    return [*total, *_of_sources(history, "train/loss", smooth=True)]


def _by_source(history: History, name: str, label: str = "all") -> list[Series]:
    """Return a metric in total and of the first sources."""
    return [*_series(history, name, label), *_of_sources(history, name)]


def _of_sources(history: History, name: str, smooth: bool = False) -> Iterator[Series]:
    """Yield a metric of the first sources, unless there is only one, which is the total."""
    sources = history.sources()
    for colour, source in enumerate(sources[:MAX_SOURCES] if len(sources) > 1 else [], 1):
        yield from _series(history, f"{name}/{source}", source, colour, smooth=smooth)


def _raw_and_smoothed(history: History, name: str, label: str) -> list[Series]:
    """Return a metric of all steps as it is, and smoothed."""
    return [*_series(history, name, label, raw=True), *_series(history, name, label, smooth=True)]


def _series(
    history: History, name: str, label: str, colour: int = 0, *, smooth: bool = False, raw: bool = False
) -> Iterator[Series]:
    """Yield the curve of a metric if it has points."""
    if points := history.points(name, smooth):
        yield Series(label, points, colour, raw)
