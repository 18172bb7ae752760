"""Expansion of a template by its pattern or function.

The files in ``data/templates/`` list the templates that have text, by language and project, each with a
pattern (see :mod:`~pipeline.extraction.wikitext.templates.patterns`) or a function, such as ``@date``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

from core.resources import read_toml
from pipeline.extraction.wikitext.options import Options
from pipeline.extraction.wikitext.templates import dates, functions, locales, names, numbers, units
from pipeline.extraction.wikitext.templates.call import Call, Place
from pipeline.extraction.wikitext.templates.patterns import fill
from pipeline.extraction.wikitext.templates.unknown import guess

_NAME = re.compile(r"\s*+([^\s=<>\[\]{}][^=<>\[\]{}\n]{0,60}?)\s*=")
_SUBST = ("subst", "safesubst")
_MAX_POSITION = 50


def expand(
    head: str, arguments: Sequence[tuple[str, str]], options: Options, place: Callable[[], Place]
) -> str:
    """Return the text of ``{{head|…}}``, an empty string if it has none.

    Each argument is given as its text before any inner bracket, in which its name is looked for, and its
    whole text.
    """
    written = head
    if ":" in head:
        function, first = _function(head)
        found = functions.call_function(function, [first, *(text.strip() for _, text in arguments)], options)
        if found is not None or function.startswith("#"):
            return found or ""
        written = f"{function}:{first}" if function else first
    written = " ".join(written.replace("_", " ").split())
    name = written.lower()
    pattern = _pattern(name, options)
    if pattern == "":
        return ""
    positional, named = _parse_arguments(arguments)
    if pattern is None:
        found = functions.variable(name, options) if not arguments else None
        if found is None and not named:
            found = guess(written, positional, place, options.language)
        return found or ""
    call = Call(name, positional, named, options, place)
    text = _FUNCTIONS[pattern](call) if pattern in _FUNCTIONS else fill(pattern, call)
    return text.strip("\n") if text[:1] == "\n" and place().starts_inside else text


def _function(head: str) -> tuple[str, str]:
    """Split ``name:argument`` at its colon, without prefixes such as ``subst:`` and ``Template:``."""
    first = head
    for _ in range(3):
        before, colon, after = first.partition(":")
        function = " ".join(before.replace("_", " ").lower().split())
        if not colon or (functions.names().get(function) not in _SUBST and function not in _prefixes()):
            return (function, after.strip()) if colon else ("", first)
        first = after
    return "", first


def _pattern(name: str, options: Options) -> str | None:
    """Return the pattern of a template by its name or by the part before a hyphen or slash."""
    patterns = _patterns(options.language, options.project)
    found = patterns.get(name)
    for mark in "-/":
        if found is None and mark in name:
            found = patterns.get(name.partition(mark)[0] + mark)
    return found


def _parse_arguments(arguments: Sequence[tuple[str, str]]) -> tuple[list[str], dict[str, str]]:
    """Return the positional arguments, also those named by numbers, and the others by lower-case names."""
    positional: list[str] = []
    named: dict[str, str] = {}
    for prefix, argument in arguments:
        found = _NAME.match(prefix)
        if not found:
            positional.append(argument.strip())
            continue
        name, text = found[1], argument[found.end() :].strip()
        if name.isdecimal() and 0 < int(name[:3]) <= _MAX_POSITION:
            positional += [""] * (int(name[:3]) - len(positional))
            positional[int(name[:3]) - 1] = text
        else:
            named[name.lower()] = text
    return positional, named


def _join(call: Call) -> str:
    items = (item.strip("* \n") for part in call.positional for item in part.split("\n*"))
    return ", ".join(item for item in items if item)


_FUNCTIONS: Mapping[str, Callable[[Call], str]] = MappingProxyType(
    {
        "@convert": units.convert,
        "@date": dates.format_date,
        "@death_date": dates.death_date,
        "@as_of": dates.as_of,
        "@age": dates.age,
        "@years_ago": dates.years_ago,
        "@era": dates.era,
        "@join": _join,
        "@fraction": numbers.fraction,
        "@number": numbers.number,
        "@value": numbers.value,
        "@quantity": numbers.quantity,
        "@elevation": numbers.elevation,
        "@coordinates": names.coordinates,
        "@plural": functions.plural,
        "@sortname": names.sortname,
        "@ship": names.ship,
        "@interlanguage": names.interlanguage,
        "@in_language": names.in_language,
        "@language_suffix": names.language_suffix,
        "@of_language": names.of_language,
        "@with_original": names.with_original,
        "@compound": names.compound,
        "@form_of": names.form_of,
        "@country": names.country,
        "@flag": names.flag,
        "@pronunciation": names.pronunciation,
        "@respelling": names.respelling,
        "@biography": names.biography,
    }
)


@cache
def _prefixes() -> frozenset[str]:
    """Return the names of the template namespace in all languages."""
    return frozenset(read_toml("pipeline.extraction.wikitext", "data/namespaces.toml")["template"])


@cache
def _patterns(language: str, project: str) -> Mapping[str, str]:
    """Return a wiki's templates: common ones, those of its language and those of its project."""
    base = language.partition("-")[0]
    related: str = locales.data()["related"].get(base, "")
    files = ["all", *(code for code in (related, base) if code in locales.data()["described"])]
    if project != "wikipedia":
        files += ["sister", *(name for name in ("wiktionary", "wikivoyage", "wikisource") if name == project)]
    return {
        name: pattern
        for file in files
        for names_of_pattern, pattern in read_toml(
            "pipeline.extraction.wikitext", f"data/templates/{file}.toml"
        ).items()
        for name in names_of_pattern.split("|")
    }
