"""Line charts of values by step, as inline SVG. They use no scripts; their colours come from the style sheet.

A :class:`Curve` keeps a bounded number of points of any number of values, so that a chart of a long run is as
small as that of a short one.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from core.html.formats import number, round_step, short

MAX_POINTS = 400
"""Points of a curve at most; at least half as many once there are more values."""
WIDTH, HEIGHT = 480, 220
TOP, BASE = 12, 190
"""Vertical extent of the plot area, in SVG units."""
LEFT, RIGHT = 46, 472
"""Horizontal extent of the plot area."""
OUTLIERS = 0.02
"""Share of a raw curve's points that may lie beyond either end of the value axis, drawn at its edge."""
COLOURS = 8
"""Colours of the style sheet, ``series-0`` and so on."""

Point = tuple[int, float]
"""Step and value."""


class Curve:
    """Values by step, in ascending order; means of ever more neighbours once there are many.

    The points are the same whether values are added at once or in several runs.
    """

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self._points: list[Point] = []
        self._per_point = 1
        self._pending: list[Point] = []
        for step, value in points:
            self.add(step, value)

    def add(self, step: int, value: float) -> None:
        """Add the finite value of a later step."""
        self._pending.append((step, value))
        if len(self._pending) < self._per_point:
            return
        self._points.append(_mean(self._pending))
        self._pending = []
        if len(self._points) == MAX_POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [_mean(pair) for pair in pairs]
            self._per_point *= 2

    @property
    def points(self) -> list[Point]:
        """Steps, each with the mean of the values up to it and after the previous one."""
        return [*self._points, *([_mean(self._pending)] if self._pending else [])]

    def smoothed(self, share: float = 0.02) -> list[Point]:
        """Return the points as exponential moving averages over about ``share`` of them.

        The average of the first points is over these only, as in Adam's correction of its moments.
        """
        points = self.points
        decay = math.exp(-1 / max(1.0, share * len(points)))
        total = weight = 0.0
        result = []
        for step, value in points:
            total, weight = decay * total + value, decay * weight + 1
            result.append((step, total / weight))
        return result


@dataclass(frozen=True, slots=True)
class Series:
    """A labelled curve of a chart."""

    label: str
    points: Sequence[Point]
    colour: int = 0
    """Less than :data:`COLOURS`."""
    raw: bool = False
    """Draw it faintly, as what another curve smooths, and let single points exceed the value axis."""


def chart(
    title: str,
    series: Sequence[Series],
    *,
    logarithmic: bool = False,
    from_zero: bool = False,
    marks: Sequence[int] = (),
) -> Markup:
    """Draw curves over one axis of steps; each has a point at least.

    ``logarithmic``: values, which are then positive. ``from_zero``: begin the axis of values at 0.
    ``marks``: steps with a dashed line, if the curves include them.
    """
    first = min(each.points[0][0] for each in series)
    last = max(max(each.points[-1][0] for each in series), first + 1)
    low, high, ticks = _value_axis(series, logarithmic, from_zero)

    def x(step: float) -> float:
        return LEFT + (RIGHT - LEFT) * (step - first) / (last - first)

    def y(value: float) -> float:
        scaled = math.log10(value) if logarithmic else value
        return BASE - (BASE - TOP) * (min(max(scaled, low), high) - low) / (high - low)

    parts = [_value_tick(value, y(value)) for value in ticks]
    parts += [_step_tick(step, x(step)) for step in _ticks(first, last, 4) if step == int(step)]
    parts += [_mark(step, x(step)) for step in marks if first <= step <= last]
    for each in sorted(series, key=lambda one: not one.raw):
        parts.append(_line(each, [(x(step), y(value)) for step, value in each.points]))
    description = "; ".join(
        f"{each.label}: {number(each.points[0][1])} at step {each.points[0][0]:,}, "
        f"{number(each.points[-1][1])} at step {each.points[-1][0]:,}"
        for each in series
        if not each.raw or len(series) == 1
    )
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, f"{title}. {description}", Markup("").join(parts)
    )


def _value_axis(
    series: Sequence[Series], logarithmic: bool, from_zero: bool
) -> tuple[float, float, list[float]]:
    """Return the ends of the axis (logarithms if so) and the values that are labelled on it."""
    shown: list[float] = []
    for each in series:
        values = sorted(value for _, value in each.points)
        cut = int(OUTLIERS * len(values)) if each.raw else 0
        shown += [values[cut], values[-1 - cut]]
    if logarithmic:
        shown = [math.log10(value) for value in shown]
    low, high = min(shown), max(shown)
    if from_zero:
        low = min(low, 0.0)
    margin = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = (low if from_zero and low == 0 else low - margin), high + margin
    if not logarithmic:
        return low, high, _ticks(low, high, 4)
    powers = range(math.floor(low), math.ceil(high) + 1)
    values = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    within = [value for value in values if low <= math.log10(value) <= high]
    return low, high, within[:: -(-len(within) // 6) or 1] or [10 ** ((low + high) / 2)]


def _ticks(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers from ``low`` to ``high``."""
    step = round_step((high - low) / count)
    return [step * index for index in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _value_tick(value: float, y: float) -> Markup:
    return Markup(
        '<line x1="{0}" x2="{1}" y1="{2:.1f}" y2="{2:.1f}" class="grid"/>'
        '<text x="{3}" y="{4:.1f}" class="end">{5}</text>'
    ).format(LEFT, RIGHT, y, LEFT - 6, y + 4, short(value))


def _step_tick(step: float, x: float) -> Markup:
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}" class="axis"/>'
        '<text x="{0:.1f}" y="{3}" class="{4}">{5}</text>'
    ).format(x, BASE, BASE + 4, BASE + 17, "end" if x > RIGHT - 12 else "middle", short(step))


def _mark(step: int, x: float) -> Markup:
    return Markup(
        '<line x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}" class="threshold"><title>step {3:,}</title></line>'
    ).format(x, TOP, BASE, step)


def _line(series: Series, points: Sequence[tuple[float, float]]) -> Markup:
    """Draw a curve; a single point is drawn as a dot."""
    kind = f"series-{series.colour}{' raw' if series.raw else ''}"
    if len(points) == 1:
        return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="3" class="{}"><title>{}</title></circle>').format(
            *points[0], kind, series.label
        )
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Markup('<polyline points="{}" class="line {}"><title>{}</title></polyline>').format(
        path, kind, series.label
    )


def _mean(points: Sequence[Point]) -> Point:
    """Return the last step and the mean value; all stand for as many values, but the last ones of a run."""
    return points[-1][0], math.fsum(value for _, value in points) / len(points)
