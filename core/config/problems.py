"""Turn a validation error into one line: the key, its value, the rule and what to write instead."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from core.messages import nearest

MAX_CHARACTERS = 60
"""Length at which a shown value is cut."""

KeyPath = tuple[str | int, ...]

_MISSING = object()
_RULES = {
    "bool_type": "booleans are true or false in TOML",
    "int_type": "must be an integer",
    "float_type": "must be a number",
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "is a section",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("greater than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_MULTIPLES = {"k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}
_WITH_UNIT = re.compile(r"([\d.,_]+)\s*([A-Za-z]+|%)")
_SECOND_KEY = re.compile(r",\s*[a-z_]+\.[\w.]+\s*=")


def describe(error: ValidationError, tree: Mapping[str, Any]) -> str:
    """Return one line about the first problem in ``tree``.

    A value that may have several types has a problem for each; the one that matched furthest is reported.
    """
    located = [(_locate(problem, tree), problem) for problem in error.errors()]
    first = located[0][0]
    same = [each for each in located if each[0][: len(first)] == first]
    path = max((path for path, _ in same), key=len)
    return _line(path, [problem for where, problem in same if where == path])


def show_key(path: KeyPath) -> str:
    """Format a path as TOML writes a dotted key, with list indices in brackets."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[\w-]+", part, re.ASCII) else json.dumps(part, ensure_ascii=False)
            shown += f".{name}" if shown else name
    return shown


def show_value(value: object) -> str:
    """Format a value for a message: strings in single quotes, all else as in TOML; cut if long."""
    text = repr(value) if isinstance(value, str) else _toml(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[: MAX_CHARACTERS - 1]}…"


def _locate(problem: ErrorDetails, tree: object) -> KeyPath:
    """Return the path of a problem in ``tree``, without pydantic's tags for the types of a union."""
    path: list[str | int] = []
    for part in problem["loc"]:
        inner = _step(tree, part)
        if inner is not _MISSING:
            path.append(part)
            tree = inner
    return (*path, problem["loc"][-1]) if problem["type"] == "missing" else tuple(path)


def _step(tree: object, part: str | int) -> object:
    if isinstance(tree, Mapping):
        return tree.get(part, _MISSING)
    if (
        isinstance(tree, Sequence)
        and not isinstance(tree, str)
        and isinstance(part, int)
        and part < len(tree)
    ):
        return tree[part]
    return _MISSING


def _line(path: KeyPath, problems: Sequence[ErrorDetails]) -> str:
    key, problem = show_key(path), problems[0]
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "missing":
        return f"{key} is missing: it must be given; add it"
    if isinstance(value, dict) and kind not in _RULES:
        return f"{key}: {problem['msg']}" if key else problem["msg"]
    start = f"{key} = {show_value(value)}:"
    if isinstance(value, str) and (second := _SECOND_KEY.search(value)):
        return f"{start} names two keys; repeat --set for each: --set {second[0].lstrip(', ')}…"
    if kind == "literal_error":
        expected = context["expected"].replace(" or ", ", ").replace("'", "").split(", ")
        choices = [choice for choice in expected if choice]
        near = nearest(str(value).lower(), choices)
        return f"{start} must be one of {', '.join(choices)}; the nearest is {near}"
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        return f"{start} must be {words} {_toml(context[name]).removesuffix('.0')}; set another value"
    if kind in _RULES:
        rules = [_RULES[each["type"]] for each in problems if each["type"] in _RULES]
        rule = " or ".join([rules[0], *(rule.removeprefix("must be ") for rule in rules[1:])])
        return f"{start} {rule}; {_remedy(kind, key, value)}"
    if kind == "finite_number":
        return f"{start} must be a finite number; set another value"
    return f"{start} {problem['msg']}" + ("" if ";" in problem["msg"] else "; set another value")


def _remedy(kind: str, key: str, value: object) -> str:
    """Return what to write instead of a value of the wrong type."""
    if kind == "bool_type":
        word = str(value).strip().lower()
        return f"write {key} = {'false' if word in _FALSE else 'true' if word in _TRUE else 'true or false'}"
    if kind in ("int_type", "float_type"):
        return _number_remedy(key, value, whole=kind == "int_type")
    if kind == "string_type":
        written = json.dumps(_toml(value), ensure_ascii=False)
        return f"write {key} = {written}, on the command line --set '{key}={written}'"
    if kind == "tuple_type":
        written = _as_list(value)
        return f"write {key} = {written}, on the command line --set '{key}={written}'"
    if kind == "model_type" and isinstance(value, list):
        return f"write [{key}] once, in single brackets"
    return f"write its keys below [{key}], or one by one: {key}.NAME = …"


def _number_remedy(key: str, value: object, *, whole: bool) -> str:
    number = value if isinstance(value, float) else _parse_number(value) if isinstance(value, str) else None
    if number is None or not math.isfinite(number):
        return f"write {key} = {'100' if whole else '0.1'}, for example"
    if not whole:
        return f"write {key} = {number:.12g}"
    if number != int(number):
        return "write a whole number"
    grouped = f"; {int(number):_} is the same" if number >= 10_000 else ""
    why = "TOML integers have no quotes, unit, exponent or decimal point"
    return f"write {key} = {int(number)} ({why}{grouped})"


def _parse_number(text: str) -> float | None:
    """Parse a number with a unit, a decimal comma or thousands separators, or return None."""
    match = _WITH_UNIT.fullmatch(text.strip())
    digits, unit = (match[1], match[2].lower()) if match else (text.strip(), "")
    if re.fullmatch(r"\d{1,3}([,_ ]\d{3})+", digits):
        digits = re.sub("[,_ ]", "", digits)
    try:
        number = float(digits.replace(",", "."))
    except ValueError:
        return None
    return number / 100 if unit == "%" else number * _MULTIPLES.get(unit, 1)


def _as_list(value: object) -> str:
    """Format a value as a TOML list, with the quotes that the shell removes from ``["a","b"]``."""
    if not isinstance(value, str):
        return f"[{_toml(value)}]"
    items = [item.strip() for item in value.strip().strip("[]").split(",")]
    return f"[{', '.join(json.dumps(item, ensure_ascii=False) for item in items if item)}]"


def _toml(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
