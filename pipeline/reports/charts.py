"""Inline SVG charts: no script, no outside host, colours from the page's style sheet."""

from collections.abc import Sequence

from markupsafe import Markup

from pipeline.reports.content import Histogram, Share

WIDTH = 640
ROW = 22
LABEL = 210


def bars(shares: Sequence[Share]) -> Markup:
    """Horizontal bars, one per share, scaled to the greatest."""
    most = max((share.count for share in shares), default=0) or 1
    room = WIDTH - LABEL - 90
    rows = [
        Markup(
            '<text x="{}" y="{}" class="label">{}</text>'
            '<rect x="{}" y="{}" width="{:.1f}" height="14" class="bar"/>'
            '<text x="{:.1f}" y="{}">{:,}</text>'
        ).format(
            LABEL - 8,
            index * ROW + 15,
            share.label,
            LABEL,
            index * ROW + 4,
            room * share.count / most,
            LABEL + room * share.count / most + 6,
            index * ROW + 15,
            share.count,
        )
        for index, share in enumerate(shares)
    ]
    return _svg(WIDTH, ROW * len(shares) + 4, Markup("").join(rows))


def histogram(of: Histogram) -> Markup:
    """Columns over the metric's range, with a line at every threshold."""
    width, height, base = 300, 110, 90
    low, high = of.edges[0], of.edges[-1]
    span = (high - low) or 1.0
    most = max(of.counts, default=0) or 1
    column = width / max(1, len(of.counts))
    parts = [
        Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="bar"/>').format(
            index * column, base - base * count / most, column - 1, base * count / most
        )
        for index, count in enumerate(of.counts)
    ]
    for reason, threshold in of.thresholds.items():
        x = width * (min(max(threshold, low), high) - low) / span
        parts.append(
            Markup(
                '<line x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1}" class="threshold">'
                "<title>{2}: {3:g}</title></line>"
            ).format(x, base, reason, threshold)
        )
    ends = Markup('<text x="0" y="{0}">{1:.4g}</text><text x="{2}" y="{0}" class="label">{3:.4g}</text>')
    parts.append(ends.format(height - 4, low, width, high))
    return _svg(width, height, Markup("").join(parts))


def line(points: Sequence[tuple[int, float]]) -> Markup:
    """A curve of values by step, with its first and last value named."""
    height, base = 180, 160
    last = max(step for step, _ in points) or 1
    low, high = min(value for _, value in points), max(value for _, value in points)
    span = (high - low) or 1.0
    path = " ".join(
        f"{WIDTH * step / last:.1f},{base - (base - 20) * (value - low) / span:.1f}" for step, value in points
    )
    text = Markup(
        '<polyline points="{}" class="curve"/><text x="0" y="12">{:.3f}</text>'
        '<text x="{}" y="{}" class="label">{:.3f} at step {:,}</text>'
    ).format(path, points[0][1], WIDTH, height - 4, points[-1][1], last)
    return _svg(WIDTH, height, text)


def _svg(width: int, height: int, content: Markup) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" style="max-width:{}px" role="img">{}</svg>').format(
        width, height, width, content
    )
