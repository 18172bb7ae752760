"""Units of measure: ``{{convert|25|km}}`` becomes "25 kilometres (16 mi)", in the wiki's language."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from core.resources import read_toml
from pipeline.extraction.wikitext.templates import locales
from pipeline.extraction.wikitext.templates.call import Call
from pipeline.extraction.wikitext.templates.numbers import localize

_RANGES = {
    "-": "–",
    "–": "–",
    "to": " to ",
    "and": " and ",
    "or": " or ",
    "x": " × ",
    "×": " × ",
    "by": " by ",
    "+/-": " ± ",
    "±": " ± ",
}
_RANGES |= {"to(-)": _RANGES["to"], "&ndash;": "–", "and(-)": _RANGES["and"]}
_MULTIPLES = {"e3": "thousand", "e6": "million", "e9": "billion", "e12": "trillion"}
_TEMPERATURES = {"C": (1.0, 273.15), "F": (5 / 9, 459.67 * 5 / 9), "K": (1.0, 0.0)}
"""Factor and offset: kelvin = degrees * factor + offset."""
_ABBREVIATING = frozenset({"cvt"})
"""Names of the template under which it writes symbols unless told otherwise."""
_MANY = 100.0
_MAX_SYMBOL = 5
_POWERS = str.maketrans("23", "²³")
_COMPOUNDS = {"ftin": "ft in", "stlb": "st lb", "lboz": "lb oz", "ydft": "yd ft", "ydftin": "yd ft in"}
_SPLIT = frozenset(_COMPOUNDS.values())
"""Pairs of units of which the second counts the rest of the first."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of measure: its names, its size in base units, its default target, its name in locale data."""

    symbol: str
    singular: str
    plural: str
    scale: float
    target: str
    locale_name: str
    neutral: str
    """A symbol without English words."""
    multiple: int = 1


@dataclass(frozen=True, slots=True)
class _Style:
    """How a measure is written."""

    language: str
    is_short: bool
    is_adjective: bool = False
    is_american: bool = False

    def text(self, numbers: str, unit: Unit, value: float | None) -> str:
        """Return a number, or a range, with its unit."""
        if self.language != "en":
            return self._translated(numbers, unit, value)
        if unit.symbol.startswith("°"):
            return numbers + unit.symbol
        if self.is_short:
            return f"{numbers} {unit.symbol}"
        is_singular = self.is_adjective or value in (1, -1)
        name = unit.singular if is_singular else unit.plural
        if self.is_american:
            name = name.replace("metre", "meter").replace("litre", "liter")
        return f"{numbers}{'-' if self.is_adjective else ' '}{name}"

    def _translated(self, numbers: str, unit: Unit, value: float | None) -> str:
        is_short = self.is_short and self.language not in locales.CJK
        # Some languages do not write the numbers one and two: take the form of another number for them.
        for amount in (_MANY if value is None else value * unit.multiple, _MANY) if unit.locale_name else ():
            pattern = locales.unit_pattern(unit.locale_name, amount, self.language, is_short)
            if "{0}" in pattern:
                return pattern.replace("{0}", numbers)
        return numbers + " " * (not unit.symbol.startswith("°")) + unit.neutral


def convert(call: Call) -> str:
    """Return a measure in its own unit and, in parentheses, in the target units.

    Results are rounded as the template does by default: to the precision of the input, but to at least two
    significant digits. Arguments that cannot be parsed are returned unchanged.
    """
    arguments = call.positional
    values, joints, index = _values(arguments)
    unit = _unit(arguments[index]) if index < len(arguments) else None
    if not values or unit is None:
        return " ".join(arguments[: index + 1])
    index += 1
    rest, index = _rest(arguments, index, unit) if len(values) == 1 else ([], index)
    targets, decimals = _targets(arguments[index:], unit)
    is_flipped = call.get("order") == "flip" or call.get("disp") == "flip"
    style, result_style = _styles(call, is_flipped)
    only = _number(values[0]) if len(values) == 1 else None
    measure = style.text(_numbers(values, joints, unit, call.language), unit, only)
    measure += "".join(f" {style.text(number, part, _number(number))}" for number, part in rest)
    if rest:
        values, unit = _sum([(values[0], unit), *rest])
    found = (_result(values, joints, unit, target, decimals, result_style) for target in targets)
    results = [text for text in found if text is not None]
    return _display(measure, results, call.get("disp"), is_flipped, call.language)


def _styles(call: Call, is_flipped: bool) -> tuple[_Style, _Style]:
    """Return the styles of the measure and its conversions. By default, what comes first is spelled out."""
    abbreviated = call.get("abbr") or ("on" if call.name in _ABBREVIATING else "out")
    first = _Style(
        language=call.language,
        is_short=abbreviated in ("on", "in", "values"),
        is_adjective=call.get("adj") in ("on", "mid", "pre", "j"),
        is_american=call.get("sp").lower() == "us",
    )
    second = replace(first, is_short=abbreviated in ("on", "out"), is_adjective=False)
    return (second, first) if is_flipped else (first, second)


def _display(measure: str, results: Sequence[str], display: str, is_flipped: bool, language: str) -> str:
    """Join a measure and its conversions."""
    if not results:
        return measure
    joined = "; ".join(results)
    if display in ("out", "output only", "number"):
        return results[0].partition(" ")[0] if display == "number" else joined
    first, second = (joined, measure) if is_flipped else (measure, joined)
    if display in ("or", "comma", "slash"):
        return first + {"or": " or ", "comma": ", ", "slash": " / "}[display] + second
    if display in ("table", "tablecen"):
        return f"{first} || {second}"
    return f"{first}（{second}）" if language in locales.CJK - {"ko"} else f"{first} ({second})"


def _numbers(values: Sequence[str], joints: Sequence[str], unit: Unit, language: str) -> str:
    """Return the numbers with what stands between them, with the separators of the language."""
    if language != "en":
        numbers = (_multiplied(value, unit.multiple) for value in values)
        values = [localize(number, language) for number in numbers]
        joints = [" – " if joint.strip().isalpha() else joint for joint in joints]
    return "".join(part for pair in zip(values, [*joints, ""], strict=True) for part in pair)


def _multiplied(value: str, multiple: int) -> str:
    number = _number(value)
    return value if multiple == 1 or number is None else f"{number * multiple:.15g}"


@cache
def units() -> Mapping[str, Unit]:
    """Return the units by all their names."""
    data = read_toml("pipeline.extraction.wikitext", "data/units.toml")
    found: dict[str, Unit] = {}
    for names, symbol, singular, plural, scale, target, locale_name in data["units"]:
        first, *others = names.split("|")
        has_words = " " in symbol or len(symbol) > _MAX_SYMBOL
        neutral = first.translate(_POWERS) if has_words else symbol
        unit = Unit(symbol, singular, plural, scale, target, locale_name, neutral)
        found |= dict.fromkeys([symbol, first, *others], unit)
    return found | {alias: found[name] for alias, name in data["aliases"].items()}


def _unit(name: str) -> Unit | None:
    """Return the unit with a name; the prefixes ``e3``, ``e6``, ``e9`` mean thousands, millions, billions."""
    prefix = name[:3] if name.startswith("e12") else name[:2]
    multiple = _MULTIPLES.get(prefix)
    unit = units().get(name[len(prefix) :] if multiple else name)
    if unit is None or multiple is None:
        return unit
    factor = 10 ** int(prefix[1:])
    return Unit(
        symbol=f"{multiple} {unit.symbol}",
        singular=f"{multiple} {unit.plural}",
        plural=f"{multiple} {unit.plural}",
        scale=unit.scale * factor,
        target=prefix + unit.target,
        locale_name=unit.locale_name,
        neutral=unit.neutral,
        multiple=factor,
    )


def _values(arguments: Sequence[str]) -> tuple[list[str], list[str], int]:
    """Return the numbers, the separators between them, and the index of the unit."""
    values: list[str] = []
    joints: list[str] = []
    index = 0
    while index < len(arguments) and _number(arguments[index]) is not None:
        values.append(arguments[index])
        index += 1
        is_range = index + 1 < len(arguments) and arguments[index] in _RANGES
        if not is_range or _number(arguments[index + 1]) is None:
            break
        joints.append(_RANGES[arguments[index]])
        index += 1
    return values, joints, index


def _rest(arguments: Sequence[str], index: int, unit: Unit) -> tuple[list[tuple[str, Unit]], int]:
    """Return the smaller units of ``{{convert|6|ft|2|in}}`` with their numbers, and the index after them."""
    found: list[tuple[str, Unit]] = []
    while index + 1 < len(arguments) and _number(arguments[index]) is not None:
        smaller = _unit(arguments[index + 1])
        if smaller is None or not 0 < smaller.scale < unit.scale:
            break
        found.append((arguments[index], smaller))
        index += 2
    return found, index


def _sum(parts: Sequence[tuple[str, Unit]]) -> tuple[list[str], Unit]:
    """Return the sum of numbers with units in the last one, which is the smallest."""
    smallest = parts[-1][1]
    total = sum((_number(number) or 0.0) * unit.scale for number, unit in parts)
    text = f"{total / smallest.scale:.12g}"
    # The template converts such a sum more precisely, by one digit.
    return [text + ("0" if "." in text else ".0")], smallest


def _targets(arguments: Sequence[str], unit: Unit) -> tuple[list[list[Unit]], int | None]:
    """Return the target units, each as one unit or with the next smaller one, and the requested decimals."""
    names = arguments[0] if arguments else ""
    decimals = next((text for text in arguments[:2] if text.lstrip("-−").isdecimal()), "")
    names = _COMPOUNDS.get(names, names)
    split = [each for each in (_unit(name) for name in names.split()) if each]
    if not split or len(split) != len(names.split()):
        default = _unit(unit.target)
        groups = [[default]] if default and default is not unit else []
    elif names in _SPLIT:
        groups = [split]
    else:
        groups = [[each] for each in split]
    return groups, int(decimals.replace("−", "-")) if decimals and len(decimals) < 4 else None


def _result(
    values: Sequence[str],
    joints: Sequence[str],
    unit: Unit,
    target: Sequence[Unit],
    decimals: int | None,
    style: _Style,
) -> str | None:
    """Return the values in the target unit; None if the units do not fit."""
    if len(target) > 1 and len(values) == 1 and unit.scale:
        return _split((_number(values[0]) or 0.0) * unit.scale, target, style)
    results = [_converted(value, unit, target[0], decimals) for value in values]
    texts = [text for text in results if text is not None]
    if len(texts) < len(results):
        return None
    only = _number(texts[0]) if len(texts) == 1 else None
    return style.text(_numbers(texts, joints, target[0], style.language), target[0], only)


def _split(amount: float, target: Sequence[Unit], style: _Style) -> str:
    """Return an amount in base units as ``5 ft 11 in``."""
    left = round(amount / target[-1].scale)
    parts = []
    for unit in target:
        size = max(1, round(unit.scale / target[-1].scale))
        count, left = divmod(left, size)
        parts.append(style.text(str(count), unit, float(count)))
    return " ".join(parts)


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


def _converted(text: str, unit: Unit, target: Unit, decimals: int | None) -> str | None:
    """Return a number in the target unit, rounded; None if the units do not fit."""
    amount = _number(text) or 0.0
    if unit.symbol[-1] in _TEMPERATURES and target.symbol[-1] in _TEMPERATURES and unit.scale == 0:
        factor, offset = _TEMPERATURES[unit.symbol[-1]]
        target_factor, target_offset = _TEMPERATURES[target.symbol[-1]]
        result = (amount * factor + offset - target_offset) / target_factor
        return _round(result, max(0, _decimals(text)) if decimals is None else decimals)
    if not unit.scale or not target.scale:
        return None
    factor = unit.scale / target.scale
    result = amount * factor
    if decimals is None:
        decimals = _decimals(text) - math.floor(math.log10(factor / 0.2) + 1e-9)
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
