"""Parser functions and variables of MediaWiki: ``{{#if:…}}``, ``{{lc:…}}``, ``{{PAGENAME}}``."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from types import MappingProxyType

from babel.dates import format_date

from core.resources import read_toml
from pipeline.extraction.wikitext.options import Options
from pipeline.extraction.wikitext.templates import locales
from pipeline.extraction.wikitext.templates.call import Call
from pipeline.extraction.wikitext.templates.dates import format_date as format_given_date
from pipeline.extraction.wikitext.templates.expressions import evaluate
from pipeline.extraction.wikitext.templates.numbers import localize, plain

_SILENT_TAGS = frozenset(
    {"ref", "references", "gallery", "indicator", "timeline", "templatestyles", "section"}
)
_PHP_DATE = re.compile(r"[jdnmFMYyDl]")
_DATE_FIELDS = {
    "j": "d", "d": "dd", "D": "EEE", "l": "EEEE",
    "n": "M", "m": "MM", "M": "MMM", "F": "MMMM",
    "Y": "y", "y": "yy",
}  # fmt: skip
"""Fields of Babel's patterns by PHP's letters."""
_MAX_PADDING = 100


@cache
def names() -> Mapping[str, str]:
    """Return the English names of parser functions and variables by their names in all languages."""
    data: dict[str, list[str]] = read_toml("pipeline.extraction.wikitext", "data/functions.toml")
    found = {alias: name for name, aliases in data.items() for alias in aliases}
    return found | {name: name for name in (*_FUNCTIONS, *_VARIABLES, *data)}


def call_function(name: str, arguments: Sequence[str], options: Options) -> str | None:
    """Return the value of ``{{name:argument|…}}``; None if there is no such function."""
    function = _FUNCTIONS.get(names().get(name, ""))
    return function(Call(name, arguments, options=options)) if function else None


def variable(name: str, options: Options) -> str | None:
    """Return the value of ``{{name}}``; None if there is no such variable."""
    function = _VARIABLES.get(names().get(name, ""))
    return function(options) if function else None


def plural(call: Call) -> str:
    """Return the form of a noun for a number: one of two, or one for each of the language's categories."""
    forms = [form for form in call.positional[1:] if form]
    try:
        number = float(plain(call.get("1"), call.language))
    except ValueError:
        return forms[0] if forms else ""
    if len(forms) == 3:
        category = locales.locale(call.language).plural_form(abs(number))
        return forms[{"one": 0, "few": 1}.get(category, 2)]
    return forms[0 if number == 1 else -1] if forms else ""


def _is_equal(first: str, second: str) -> bool:
    """Compare as numbers if both are, else as text."""
    try:
        return first == second or float(first) == float(second)
    except ValueError:
        return False


def _if_equal(call: Call) -> str:
    return call.get("3" if _is_equal(call.get("1"), call.get("2")) else "4")


def _switch(call: Call) -> str:
    """Return the result of the first case that equals the value; one without result takes the next one's."""
    value = call.get("1")
    default = last = ""
    is_found = is_default = False
    for argument in call.positional[1:]:
        case, equals, result = argument.partition("=")
        is_found = is_found or _is_equal(value, case.strip())
        is_default = is_default or case.strip().startswith("#")
        last = "" if equals else case.strip()
        if equals and is_found:
            return result.strip()
        if equals and is_default:
            default, is_default = result.strip(), False
    return last or default


def _time(call: Call) -> str:
    """Format a date, by default that of the page, with PHP's letters."""
    given = _iso_date(call.get("2")) if call.get("2") else call.options.saved_on
    return _format_time(given, call.get("1"), call.options)


def _format_time(day: date | None, letters: str, options: Options) -> str:
    if day is None:
        return ""
    known = locales.locale(options.language)
    return _PHP_DATE.sub(
        lambda found: format_date(day, _DATE_FIELDS[found[0]], locale=known),
        letters.replace("xg", "F").replace("\\", ""),
    )


def _iso_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _format_number(call: Call) -> str:
    style = call.get("2")
    is_raw = names().get(style.lower(), style) in ("rawsuffix", "R")
    return (plain if is_raw else localize)(call.get("1"), call.language)


def _padding(call: Call) -> str:
    width = call.get("2")
    missing = (
        min(int(width), _MAX_PADDING) - len(call.get("1")) if width.isdecimal() and len(width) < 5 else 0
    )
    return ((call.get("3") or "0") * _MAX_PADDING)[: max(0, missing)]


_FUNCTIONS: Mapping[str, Callable[[Call], str]] = MappingProxyType(
    {
        "#if": lambda call: call.get("2" if call.get("1") else "3"),
        "#ifeq": _if_equal,
        "#ifexpr": lambda call: call.get("3" if evaluate(call.get("1")) in ("", "0") else "2"),
        "#iferror": lambda call: call.get("3", "1", "2"),
        "#ifexist": lambda call: call.get("2"),
        "#switch": _switch,
        "#expr": lambda call: evaluate(call.get("1")),
        "#time": _time,
        "#dateformat": format_given_date,
        "#formatdate": format_given_date,
        "#tag": lambda call: "" if call.get("1").lower() in _SILENT_TAGS else call.get("2"),
        "formatnum": _format_number,
        "plural": plural,
        "grammar": lambda call: call.get("2"),
        "lc": lambda call: call.get("1").lower(),
        "uc": lambda call: call.get("1").upper(),
        "lcfirst": lambda call: call.get("1")[:1].lower() + call.get("1")[1:],
        "ucfirst": lambda call: call.get("1")[:1].upper() + call.get("1")[1:],
        "padleft": lambda call: _padding(call) + call.get("1"),
        "padright": lambda call: call.get("1") + _padding(call),
        "nowiki": lambda call: call.get("1"),
    }
)
_VARIABLES: Mapping[str, Callable[[Options], str]] = MappingProxyType(
    {
        "pagename": lambda options: options.title,
        "fullpagename": lambda options: options.title,
        "basepagename": lambda options: options.title.rpartition("/")[0] or options.title,
        "rootpagename": lambda options: options.title.partition("/")[0],
        "subpagename": lambda options: options.title.rpartition("/")[2],
        "currentyear": lambda options: _format_time(options.saved_on, "Y", options),
        "currentday": lambda options: _format_time(options.saved_on, "j", options),
        "currentmonthname": lambda options: _format_time(options.saved_on, "F", options),
    }
)
