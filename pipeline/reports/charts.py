"""Inline SVG charts and the numbers beside them: no script, no other host, colours by the style sheet."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from pipeline.reports.content import Step
from pipeline.reports.distribution import Distribution, Limit, round_step

WIDTH, HEIGHT = 360, 168
TOP, BASE = 26, 140
"""The heights between which a histogram's columns stand."""
LEFT, RIGHT = 34, 352


def bar(part: float, of: float, kept: float | None = None) -> Markup:
    """A bar that fills its cell as ``part`` fills ``of``; ``kept`` of it in another colour."""
    whole = 100 * part / of if of else 0.0
    inner = whole if kept is None else 100 * kept / of if of else 0.0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="fails" width="{:.2f}" height="10"/>'
        '<rect class="stays" width="{:.2f}" height="10"/></svg>'
    ).format(0.0 if kept is None else whole, inner)


def funnel(before: Step, after: Step, first: Step) -> Markup:
    """One stage of the funnel about its middle axis: documents to the left, words to the right."""
    docs = [50 * step.records / first.records if first.records else 0.0 for step in (before, after)]
    shape = Markup('<polygon class="stays" points="{0:.2f},0 50,0 50,10 {1:.2f},10"/>').format(
        50 - docs[0], 50 - docs[1]
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
    """Columns over the measure's range, those that fail in another colour, and a line at every threshold."""
    most = max(of.counts) or 1
    parts = [_grid_line(most, count) for count in (0, *_grid(most))]
    parts += [_column(of, index, most) for index, count in enumerate(of.counts) if count]
    parts += [_threshold(of, limit) for limit in of.limits]
    parts += [_tick(of, value) for value in of.ticks()]
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, describe(of), Markup("").join(parts)
    )


def describe(of: Distribution) -> str:
    """A histogram in words."""
    limits = ", ".join(f"{limit.bound} {number(limit.threshold)} stays" for limit in of.limits)
    commonest = max(range(len(of.counts)), key=lambda index: of.counts[index])
    low, high = of.edges[commonest], of.edges[commonest + 1]
    return (
        f"Histogram of {of.metric} over {of.measured:,} records{f'; {limits}' if limits else ''}; "
        f"the highest column, {of.counts[commonest]:,} records, stands between {low:.3g} and {high:.3g}"
    )


def _column(of: Distribution, index: int, most: int) -> Markup:
    left, right = (_across(of.position(edge)) for edge in (of.edges[index], of.edges[index + 1]))
    top = _up(of.counts[index], most)
    return Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}">'
        "<title>{} to {}: {} records</title></rect>"
    ).format(
        left + 0.5,
        top,
        max(0.5, right - left - 1),
        BASE - top,
        "fails" if of.fails(index) else "stays",
        f"{of.edges[index]:.3g}",
        f"{of.edges[index + 1]:.3g}",
        whole(of.counts[index]),
    )


def _threshold(of: Distribution, limit: Limit) -> Markup:
    place = of.limit_position(limit)
    x = _across(place)
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="14" y2="{1}" class="threshold"/>'
        '<text x="{2:.1f}" y="10" class="{3} strong">{4} {5}</text>'
    ).format(
        x,
        BASE,
        x + (2 if place > 0.5 else -2),
        "end" if place > 0.5 else "start",
        limit.bound,
        number(limit.threshold),
    )


def _tick(of: Distribution, value: float) -> Markup:
    place = of.position(value)
    more = "+" if place > 0.999 and of.maximum > value else ""
    side = "end" if place > 0.97 else "middle"
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}" class="axis"/>'
        '<text x="{0:.1f}" y="{3}" class="{4}">{5}{6}</text>'
    ).format(_across(place), BASE, BASE + 4, BASE + 17, side, short(value), more)


def _grid_line(most: int, count: int) -> Markup:
    y = _up(count, most)
    return Markup(
        '<line x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}" class="{3}"/>'
        '<text x="{4}" y="{5:.1f}" class="end">{6}</text>'
    ).format(LEFT, RIGHT, y, "grid" if count else "axis", LEFT - 5, y + 4, short(count))


def _grid(most: int) -> list[int]:
    """Round numbers of records at about a third, two thirds and all of the height."""
    wanted = {max(1, round(round_step(most * height**2))) for height in (1 / 3, 2 / 3, 0.95)}
    return sorted(count for count in wanted if count <= most)


def _up(count: int, most: int) -> float:
    """Heights grow with the square root, so that small columns can be seen beside tall ones."""
    return BASE - (BASE - TOP) * math.sqrt(count / most)


def _across(place: float) -> float:
    return LEFT + (RIGHT - LEFT) * place


def line(points: Sequence[tuple[int, float]]) -> Markup:
    """A curve of values by step, with its first and last value named."""
    last = max(step for step, _ in points) or 1
    low, high = min(value for _, value in points), max(value for _, value in points)
    span = (high - low) or 1.0
    path = " ".join(
        f"{_across(step / last):.1f},{BASE - (BASE - TOP) * (value - low) / span:.1f}"
        for step, value in points
    )
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<line x1="{}" x2="{}" y1="{}" y2="{}" class="axis"/><polyline points="{}" class="curve"/>'
        '<text x="{}" y="12">{:.3f}</text><text x="{}" y="{}" class="end">{:.3f} at step {:,}</text></svg>'
    ).format(
        *(WIDTH, HEIGHT, f"Loss falls from {points[0][1]:.3f} to {points[-1][1]:.3f} at step {last:,}"),
        *(LEFT, RIGHT, BASE, BASE, path, LEFT, points[0][1], RIGHT, BASE + 17, points[-1][1], last),
    )


def whole(value: float) -> str:
    """A whole number, its thousands apart."""
    return f"{value:,.0f}"


def number(value: float) -> str:
    """A value or threshold, as short as it is exact to four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short(value: float) -> str:
    """A number for a chart: 1,200,000 is 1.2M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def share(part: float, of: float) -> str:
    """A percentage that is 0 % or 100 % only if it is just that."""
    if not of:
        return "–"
    percent = 100 * part / of
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"
