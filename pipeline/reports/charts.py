"""Inline SVG charts. They use no scripts; their colours come from the style sheet."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from core.html.formats import integer, number, round_step, short
from pipeline.reports.content import Step
from pipeline.reports.distribution import Distribution, Limit

WIDTH, HEIGHT = 360, 168
TOP, BASE = 26, 140
"""Vertical extent of the plot area, in SVG units."""
LEFT, RIGHT = 34, 352
"""Horizontal extent of the plot area."""


def bar(part: float, of: float, kept: float | None = None) -> Markup:
    """Draw a bar of relative length ``part / of``, of which ``kept`` is in another colour."""
    length = 100 * part / of if of else 0.0
    kept_length = length if kept is None else 100 * kept / of if of else 0.0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="fails" width="{:.2f}" height="10"/>'
        '<rect class="passes" width="{:.2f}" height="10"/></svg>'
    ).format(0.0 if kept is None else length, kept_length)


def funnel(before: Step, after: Step, first: Step) -> Markup:
    """Draw one stage of the funnel around a vertical axis: records to the left, words to the right."""
    records = [50 * step.records / first.records if first.records else 0.0 for step in (before, after)]
    shape = Markup('<polygon class="passes" points="{0:.2f},0 50,0 50,10 {1:.2f},10"/>').format(
        50 - records[0], 50 - records[1]
    )
    if before.words is not None and after.words is not None and first.words:
        words = [50 * before.words / first.words, 50 * after.words / first.words]
        shape += Markup('<polygon class="words" points="50,0 {0:.2f},0 {1:.2f},10 50,10"/>').format(
            50 + words[0], 50 + words[1]
        )
    return Markup(
        '<svg class="funnel" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(shape)


def histogram(of: Distribution) -> Markup:
    """Draw a histogram with failing bins in another colour and a line at every threshold."""
    most = max(of.counts) or 1
    parts = [_grid_line(most, count) for count in (0, *_grid_counts(most))]
    parts += [_bin(of, index, most) for index, count in enumerate(of.counts) if count]
    parts += [_threshold_line(of, limit) for limit in of.limits]
    parts += [_tick(of, value) for value in of.ticks()]
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, describe(of), Markup("").join(parts)
    )


def describe(of: Distribution) -> str:
    """Describe a histogram in words, for screen readers."""
    limits = ", ".join(f"kept if {limit.bound} {number(limit.threshold)}" for limit in of.limits)
    highest = max(range(len(of.counts)), key=lambda index: of.counts[index])
    low, high = of.edges[highest], of.edges[highest + 1]
    return (
        f"Histogram of {of.metric} over {of.measured:,} records{f'; {limits}' if limits else ''}; "
        f"the highest bar, {of.counts[highest]:,} records, is between {low:.3g} and {high:.3g}"
    )


def _bin(of: Distribution, index: int, most: int) -> Markup:
    left, right = (_x(of.position(edge)) for edge in (of.edges[index], of.edges[index + 1]))
    top = _y(of.counts[index], most)
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}">'
        "<title>{} to {}: {} records</title></rect>"
    ).format(
        left + 0.5,
        top,
        max(0.5, right - left - 1),
        BASE - top,
        "fails" if of.fails(index) else "passes",
        f"{of.edges[index]:.3g}",
        f"{of.edges[index + 1]:.3g}",
        integer(of.counts[index]),
    )


def _threshold_line(of: Distribution, limit: Limit) -> Markup:
    position = of.limit_position(limit)
    x = _x(position)
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="14" y2="{1}" class="threshold"/>'
        '<text x="{2:.1f}" y="10" class="{3} strong">{4} {5}</text>'
    ).format(
        x,
        BASE,
        x + (2 if position > 0.5 else -2),
        "end" if position > 0.5 else "start",
        limit.bound,
        number(limit.threshold),
    )


def _tick(of: Distribution, value: float) -> Markup:
    position = of.position(value)
    more = "+" if position > 0.999 and of.maximum > value else ""
    anchor = "end" if position > 0.97 else "middle"
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}" class="axis"/>'
        '<text x="{0:.1f}" y="{3}" class="{4}">{5}{6}</text>'
    ).format(_x(position), BASE, BASE + 4, BASE + 17, anchor, short(value), more)


def _grid_line(most: int, count: int) -> Markup:
    y = _y(count, most)
    return Markup(
        '<line x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}" class="{3}"/>'
        '<text x="{4}" y="{5:.1f}" class="end">{6}</text>'
    ).format(LEFT, RIGHT, y, "grid" if count else "axis", LEFT - 5, y + 4, short(count))


def _grid_counts(most: int) -> list[int]:
    """Return round numbers of records at about a third, two thirds and the whole of the height."""
    counts = {max(1, round(round_step(most * height**2))) for height in (1 / 3, 2 / 3, 0.95)}
    return sorted(count for count in counts if count <= most)


def _y(count: int, most: int) -> float:
    """Height grows with the square root of the count, so that small bins are visible."""
    return BASE - (BASE - TOP) * math.sqrt(count / most)


def _x(position: float) -> float:
    return LEFT + (RIGHT - LEFT) * position


def line(points: Sequence[tuple[int, float]]) -> Markup:
    """Draw a curve of loss by step, labelled with its first and last value."""
    last = max(step for step, _ in points) or 1
    low, high = min(value for _, value in points), max(value for _, value in points)
    span = (high - low) or 1.0
    path = " ".join(
        f"{_x(step / last):.1f},{BASE - (BASE - TOP) * (value - low) / span:.1f}" for step, value in points
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<line x1="{}" x2="{}" y1="{}" y2="{}" class="axis"/><polyline points="{}" class="curve"/>'
        '<text x="{}" y="12">{:.3f}</text><text x="{}" y="{}" class="end">{:.3f} at step {:,}</text></svg>'
    ).format(
        *(WIDTH, HEIGHT, f"Training loss, from {points[0][1]:.3f} to {points[-1][1]:.3f} at step {last:,}"),
        *(LEFT, RIGHT, BASE, BASE, path, LEFT, points[0][1], RIGHT, BASE + 17, points[-1][1], last),
    )
