"""Units of measure in wikitext: ``{{convert|25|km}}`` becomes "25 kilometres (16 mi)"."""

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
"""Factor and offset: kelvin = degrees * factor + offset."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure: its names, its size in base units, and its default target unit."""

    symbol: str
    singular: str
    plural: str
    scale: float
    target: str


def convert(arguments: Sequence[str], named: Mapping[str, str], units: Mapping[str, Unit]) -> str:
    """Return a measure in its own unit and, in parentheses, in the target unit.

    Results are rounded as the template does by default: to the precision of the input, but to at least two
    significant digits. Arguments that cannot be parsed are returned unchanged.
    """
    values, separators, unit_index = _values(arguments)
    unit = _unit(arguments[unit_index], units) if unit_index < len(arguments) else None
    if not values or unit is None:
        return " ".join(arguments[: unit_index + 1])
    numbers = "".join(part for pair in zip(values, [*separators, ""], strict=True) for part in pair)
    is_short = named.get("abbr") in ("on", "in", "values") or unit.symbol.startswith("°")
    is_singular = values == ["1"] or named.get("adj") in ("on", "mid", "pre", "j")
    name = unit.symbol if is_short else unit.singular if is_singular else unit.plural
    space = "" if unit.symbol.startswith("°") else "-" if is_singular and values != ["1"] else " "
    measure = f"{numbers}{space}{name}"
    requested = arguments[unit_index + 1] if unit_index + 1 < len(arguments) else ""
    target = _unit(requested if _unit(requested, units) else unit.target, units)
    if target is None or target is unit or named.get("disp") in ("number", "out", "output only"):
        return measure
    results = [_convert(value, unit, target) for value in values]
    if None in results:
        return measure
    converted = "".join(f"{result}{part}" for result, part in zip(results, [*separators, ""], strict=True))
    return f"{measure} ({converted}{'' if target.symbol.startswith('°') else ' '}{target.symbol})"


def _unit(name: str, units: Mapping[str, Unit]) -> Unit | None:
    """Return the unit with a name; the prefixes ``e3``, ``e6``, ``e9`` mean thousands, millions, billions."""
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
    """Return the numbers, the separators between them, and the index of the unit."""
    values: list[str] = []
    separators: list[str] = []
    index = 0
    while index < len(arguments) and _number(arguments[index]) is not None:
        values.append(arguments[index])
        index += 1
        is_range = index + 1 < len(arguments) and arguments[index] in _RANGES
        if not is_range or _number(arguments[index + 1]) is None:
            break
        separators.append(_RANGES[arguments[index]])
        index += 1
    return values, separators, index


def _number(text: str) -> float | None:
    """Parse a number as editors write it; return None for anything else."""
    cleaned = text.replace(",", "").replace("−", "-").strip()
    whole, plus, fraction = cleaned.partition("+")
    numerator, slash, denominator = (fraction or whole).partition("/")
    try:
        if slash:
            return (float(whole) if plus else 0.0) + float(numerator) / float(denominator)
        found = float(cleaned)
    except (ValueError, ZeroDivisionError):
        return None
    return found if math.isfinite(found) and abs(found) < 1e15 else None


def _convert(text: str, unit: Unit, target: Unit) -> str | None:
    value = _number(text)
    if value is None:
        return None
    if unit.symbol[-1] in _TEMPERATURES and target.symbol[-1] in _TEMPERATURES and unit.scale == 0:
        factor, offset = _TEMPERATURES[unit.symbol[-1]]
        target_factor, target_offset = _TEMPERATURES[target.symbol[-1]]
        return _round((value * factor + offset - target_offset) / target_factor, max(0, _decimals(text)))
    if not unit.scale or not target.scale:
        return None
    factor = unit.scale / target.scale
    result = value * factor
    decimals = _decimals(text) - math.floor(math.log10(factor / 0.2) + 1e-9) if factor else 0
    if result:
        decimals = max(decimals, 1 - math.floor(math.log10(abs(result))))
    return _round(result, decimals)


def _decimals(text: str) -> int:
    """Return the number of decimal places or, as a negative number, of trailing zeros of an integer."""
    digits = text.replace(",", "").strip()
    if "/" in digits:
        return 2
    if "." in digits:
        return len(digits) - digits.index(".") - 1
    return -(len(digits) - len(digits.rstrip("0"))) if digits.strip("0-") else 0


def _round(value: float, decimals: int) -> str:
    decimals = min(decimals, 8)
    return f"{round(value, decimals):,.{max(0, decimals)}f}".replace("-", "−")
