"""Numbers as pages show them."""

import math


def integer(value: float) -> str:
    """Format an integer with thousands separators."""
    return f"{value:,.0f}"


def number(value: float) -> str:
    """Format a value or threshold with four significant digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def short(value: float) -> str:
    """Format a number with a unit prefix: 1,200,000 as ``1.2M``."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def share(part: float, of: float) -> str:
    """Format a percentage; ``0 %`` and ``100 %`` are exact."""
    if not of:
        return "–"
    percent = 100 * part / of
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def round_step(step: float) -> float:
    """Return the nearest of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return min((1 * power, 2 * power, 5 * power, 10 * power), key=lambda nice: abs(nice - step))
