"""Measures in wikitext: ``{{convert|25|km}}`` as a reader sees it, "25 kilometres (16 mi)"."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_RANGES = {
    "-": "–",
    "–": "–",
    "to": " to ",
    "and": " and ",
    "or": " or ",
    "x": " × ",
    "by": " by ",
    "+/-": " ± ",
}
_MULTIPLES = {"e3": "thousand", "e6": "million", "e9": "billion"}
_TEMPERATURES = {"C": (1.0, 273.15), "F": (5 / 9, 459.67 * 5 / 9), "K": (1.0, 0.0)}
"""Kelvin are degrees times the first plus the second."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure: its names, its size in the base unit of its kind, and what it is converted to."""

    symbol: str
    singular: str
    plural: str
    scale: float
    target: str


def convert(arguments: Sequence[str], named: Mapping[str, str], units: Mapping[str, Unit]) -> str:
    """The measure in its own unit and, in parentheses, in the other one.

    Rounded as the template does by default: to the precision of what is given, or to two digits where that is
    more. What is not understood is given as it stands.
    """
    values, joints, at = _values(arguments)
    unit = _unit(arguments[at], units) if at < len(arguments) else None
    if not values or unit is None:
        return " ".join(arguments[: at + 1])
    spoken = "".join(part for pair in zip(values, [*joints, ""], strict=True) for part in pair)
    is_short = named.get("abbr") in ("on", "in", "values") or unit.symbol.startswith("°")
    is_one = values == ["1"] or named.get("adj") in ("on", "mid", "pre", "j")
    name = unit.symbol if is_short else unit.singular if is_one else unit.plural
    given = (
        f"{spoken}{'' if unit.symbol.startswith('°') else '-' if is_one and values != ['1'] else ' '}{name}"
    )
    asked = arguments[at + 1] if at + 1 < len(arguments) else ""
    wanted = asked if _unit(asked, units) else unit.target
    other = _unit(wanted, units)
    if other is None or other is unit or named.get("disp") in ("number", "out", "output only"):
        return given
    numbers = [_converted(value, unit, other) for value in values]
    if None in numbers:
        return given
    figures = "".join(f"{number}{joint}" for number, joint in zip(numbers, [*joints, ""], strict=True))
    return f"{given} ({figures}{'' if other.symbol.startswith('°') else ' '}{other.symbol})"


def _unit(name: str, units: Mapping[str, Unit]) -> Unit | None:
    """The unit of that name; ``e3``, ``e6``, ``e9`` before it stand for thousands, millions, billions."""
    multiple = _MULTIPLES.get(name[:2])
    unit = units.get(name[2:] if multiple else name)
    if unit is None or multiple is None:
        return unit
    return Unit(
        symbol=f"{multiple} {unit.symbol}",
        singular=f"{multiple} {unit.plural}",
        plural=f"{multiple} {unit.plural}",
        scale=unit.scale * 10 ** int(name[1]),
        target=name[:2] + unit.target,
    )


def _values(arguments: Sequence[str]) -> tuple[list[str], list[str], int]:
    """The numbers, what stands between them, and where the unit is."""
    values: list[str] = []
    joints: list[str] = []
    at = 0
    while at < len(arguments) and _number(arguments[at]) is not None:
        values.append(arguments[at])
        at += 1
        if at + 1 >= len(arguments) or arguments[at] not in _RANGES or _number(arguments[at + 1]) is None:
            break
        joints.append(_RANGES[arguments[at]])
        at += 1
    return values, joints, at


def _number(text: str) -> float | None:
    """A number as editors write it; None for anything else."""
    cleaned = text.replace(",", "").replace("−", "-").strip()
    whole, plus, fraction = cleaned.partition("+")
    above, slash, below = (fraction or whole).partition("/")
    try:
        if slash:
            return (float(whole) if plus else 0.0) + float(above) / float(below)
        found = float(cleaned)
    except (ValueError, ZeroDivisionError):
        return None
    return found if math.isfinite(found) and abs(found) < 1e15 else None


def _converted(text: str, unit: Unit, other: Unit) -> str | None:
    value = _number(text)
    if value is None:
        return None
    if unit.symbol[-1] in _TEMPERATURES and other.symbol[-1] in _TEMPERATURES and unit.scale == 0:
        (scale, zero), (other_scale, other_zero) = (
            _TEMPERATURES[unit.symbol[-1]],
            _TEMPERATURES[other.symbol[-1]],
        )
        return _rounded((value * scale + zero - other_zero) / other_scale, max(0, _decimals(text)))
    if not unit.scale or not other.scale:
        return None
    factor = unit.scale / other.scale
    result = value * factor
    decimals = _decimals(text) - math.floor(math.log10(factor / 0.2) + 1e-9) if factor else 0
    if result:
        decimals = max(decimals, 1 - math.floor(math.log10(abs(result))))
    return _rounded(result, decimals)


def _decimals(text: str) -> int:
    """Digits after the point or, as a negative number, zeros before it."""
    digits = text.replace(",", "").strip()
    if "/" in digits:
        return 2
    if "." in digits:
        return len(digits) - digits.index(".") - 1
    return -(len(digits) - len(digits.rstrip("0"))) if digits.strip("0-") else 0


def _rounded(value: float, decimals: int) -> str:
    decimals = min(decimals, 8)
    return f"{round(value, decimals):,.{max(0, decimals)}f}".replace("-", "−")
