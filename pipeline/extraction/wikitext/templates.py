"""What a template contributes to the sentence it stands in; most are furniture and contribute nothing.

``data/wikitext_templates.toml`` says which ones carry text, per language and project, and how: by a pattern
such as ``{1}[ ({2/alt})]``, where braces name an argument, or several of which the first that is there
counts, and brackets are left out when an argument in them is missing; or by a function, ``@name``.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from core.resources import read_toml
from pipeline.extraction.wikitext.units import Unit, convert

_ARGUMENT = re.compile(r"\{([^{}]*)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_HIDDEN = str.maketrans("[]{}", "\ufdd1\ufdd2\ufdd3\ufdd4")
"""Brackets in arguments cannot be taken for the pattern's: they are noncharacters meanwhile."""
_SHOWN = str.maketrans("\ufdd1\ufdd2\ufdd3\ufdd4", "[]{}")
_NAME = re.compile(r"\s*+([^\s=<>\[\]{}][^=<>\[\]{}\n]{0,60}?)\s*=")
_NUMBER = re.compile(r"([-−+]?)(\d{4,})((?:[.,]\d+)?)$")


@dataclass(frozen=True, slots=True)
class Call:
    """A template as it is used: unnamed arguments in order and named ones, all stripped."""

    name: str
    unnamed: Sequence[str] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"

    def get(self, *keys: str) -> str:
        """The first of these arguments that is there and not empty; unnamed ones are counted from 1."""
        for key in keys:
            found = self.named.get(key, "")
            if not found and key.isdecimal() and 0 < int(key) <= len(self.unnamed):
                found = self.unnamed[int(key) - 1]
            if found:
                return found
        return ""


@dataclass(frozen=True, slots=True)
class _Data:
    templates: Mapping[str, Mapping[str, str]]
    months: Mapping[str, Sequence[str]]
    languages: Mapping[str, Mapping[str, str]]
    units: Mapping[str, Unit]


def text(head: str, arguments: Sequence[tuple[str, str]], language: str, project: str) -> str:
    """The text of ``{{head|…}}``; each argument with what is written in it before any bracket.

    Only there may an argument be named.
    """
    name, colon, first = head.partition(":")
    name = " ".join(name.replace("_", " ").lower().split())
    known = _known(language, project)
    pattern = known.get(name + ":") if colon else known.get(name)
    if pattern is None and "-" in name:
        pattern = known.get(name.partition("-")[0] + "-")
    if not pattern:
        return ""
    unnamed = [first.strip()] if colon else []
    named: dict[str, str] = {}
    for begin, argument in arguments:
        found = None if name.startswith("#") else _NAME.match(begin)
        if found:
            named[found[1]] = argument[found.end() :].strip()
        else:
            unnamed.append(argument.strip())
    call = Call(name, unnamed, named, language)
    return _FUNCTIONS[pattern](call) if pattern in _FUNCTIONS else _filled(pattern, call)


def _filled(pattern: str, call: Call) -> str:
    """The pattern with its arguments put in, from the innermost brackets outwards."""

    def argument(found: re.Match[str]) -> str:
        return call.get(*found[1].split("/")).translate(_HIDDEN)

    def optional(found: re.Match[str]) -> str:
        is_there = all(call.get(*each.split("/")) for each in _ARGUMENT.findall(found[1]))
        return _ARGUMENT.sub(argument, found[1]) if is_there else ""

    count = 1
    while count:
        pattern, count = _OPTIONAL.subn(optional, pattern)
    return _ARGUMENT.sub(argument, pattern).translate(_SHOWN)


def _convert(call: Call) -> str:
    return convert(call.unnamed, call.named, _data().units)


def _date(call: Call) -> str:
    """Year, month and day, as far as they are given, in the order of the language."""
    year, month, day = [*call.unnamed, "", "", ""][:3]
    if not year.lstrip("-").isdecimal():
        return year
    months = _data().months.get(call.language, _data().months["en"])
    if not month.isdecimal() or not 1 <= int(month) <= 12:
        return year
    name = months[int(month) - 1]
    if not day.isdecimal():
        return f"{name} {year}"
    if call.language == "en" and call.get("df") not in ("y", "yes"):
        return f"{name} {int(day)}, {year}"
    return f"{int(day)} {name} {year}"


def _as_of(call: Call) -> str:
    begin = "as of" if call.get("lc") in ("y", "yes", "on") else "As of"
    return f"{begin} {_date(call)}"


def _join(call: Call) -> str:
    return ", ".join(part.strip("* \n") for part in call.unnamed if part.strip("* \n"))


def _fraction(call: Call) -> str:
    parts = [part for part in call.unnamed if part]
    if len(parts) == 3:
        return f"{parts[0]} {parts[1]}⁄{parts[2]}"
    return "⁄".join(parts if len(parts) == 2 else ["1", *parts])


def _number(call: Call) -> str:
    """A number with its thousands apart, as the language writes them."""
    written = call.get("1").replace(",", "")
    found = _NUMBER.match(written)
    if not found:
        return call.get("1")
    whole = f"{int(found[2]):,}"
    fraction = found[3]
    if call.language in ("de", "es", "it", "nl", "pt", "da", "id", "tr"):
        whole, fraction = whole.replace(",", "."), fraction.replace(".", ",")
    elif call.language in ("fr", "ru", "pl", "cs", "sv", "fi", "uk", "nb", "no", "bg", "hu"):
        whole, fraction = whole.replace(",", " "), fraction.replace(".", ",")
    return found[1] + whole + fraction


def _value(call: Call) -> str:
    """``{{val|1.2|0.1|e=3|u=km}}``: a number with its error, power of ten and unit."""
    error = f" ± {call.get('2')}" if call.get("2") else ""
    power = f" × 10^{call.get('e')}" if call.get("e") else ""
    unit = call.get("u", "ul")
    return f"{call.get('1')}{error}{power}{' ' + unit if unit else ''}"


def _in_language(call: Call) -> str:
    """``{{lang-de|Ripen}}``: the name of the language, where it is known, and the words."""
    code = call.name.partition("-")[2]
    name = _data().languages.get(call.language, {}).get(code)
    words = call.get("1", "text")
    return f"{name}: {words}" if name and words else words


def _of_language(call: Call) -> str:
    """A word of another language and the language's name, as in etymologies."""
    is_first = call.name in ("cog", "cognate", "noncog", "etyl")
    code = call.get("1" if is_first else "2")
    word = call.get("3", "2") if is_first else call.get("alt", "4", "3")
    if call.name == "etyl":
        word = ""
    name = _data().languages["en"].get(code, "")
    return " ".join(part for part in (name, word if word != "-" else "") if part)


def _compound(call: Call) -> str:
    """The parts of a word; the first argument may be its language's code."""
    parts = [part for part in call.unnamed if part]
    return " + ".join(parts[1:] if parts[:1] and parts[0] in _data().languages["en"] else parts)


def _if(call: Call) -> str:
    return call.get("2") if call.get("1") else call.get("3")


def _biography(call: Call) -> str:
    """The sentence that ``{{Bio}}`` makes on the Italian Wikipedia."""
    born = ", ".join(
        part for part in (call.get("LuogoNascita"), _day(call, "GiornoMeseNascita", "AnnoNascita")) if part
    )
    died = ", ".join(
        part for part in (call.get("LuogoMorte"), _day(call, "GiornoMeseMorte", "AnnoMorte")) if part
    )
    life = " – ".join(part for part in (born, died) if part)
    name = " ".join(part for part in (call.get("Titolo"), call.get("Nome"), call.get("Cognome")) if part)
    if end := call.get("FineIncipit"):
        verb = end if end.startswith(("è ", "fu ", "è stat")) else f"è {'stato ' if died else ''}{end}"
    else:
        work = [call.get(key) for key in ("Attività", "Attività2", "Attività3") if call.get(key)]
        listed = " e ".join([", ".join(work[:-1]), work[-1]] if len(work) > 1 else work)
        is_woman = call.get("Sesso").upper() == "F"
        article = "una" if is_woman else "uno" if re.match(r"s[^aeiou]|z|gn|ps", listed) else "un"
        been = f"stat{'a' if is_woman else 'o'} " if died else ""
        verb = f"è {been}{article} {listed} {call.get('Nazionalità')}".rstrip()
    after = call.get("PostCognome")
    name += after if after.startswith((",", "(")) or not after else f" {after}"
    return f"{name}{f' ({life})' if life else ''} {verb}{call.get('PostNazionalità')}."


def _day(call: Call, day: str, year: str) -> str:
    return " ".join(part for part in (call.get(day), call.get(year)) if part and part != "?")


_FUNCTIONS: Mapping[str, Callable[[Call], str]] = MappingProxyType(
    {
        "@convert": _convert,
        "@date": _date,
        "@as_of": _as_of,
        "@join": _join,
        "@fraction": _fraction,
        "@number": _number,
        "@value": _value,
        "@in_language": _in_language,
        "@of_language": _of_language,
        "@compound": _compound,
        "@if": _if,
        "@biography": _biography,
    }
)


@cache
def _known(language: str, project: str) -> Mapping[str, str]:
    """The templates of one wiki: those of all, of its language's Wikipedia or of its project."""
    templates = _data().templates
    parts = [templates["all"], templates.get(language, {}), templates.get(project, {})]
    return {name: pattern for part in parts for names, pattern in part.items() for name in names.split("|")}


@cache
def _data() -> _Data:
    data = read_toml("pipeline.extraction.wikitext", "templates.toml")
    units = {
        name: Unit(*unit)
        for names, *unit in (row for row in data["units"])
        for name in [*names.split("|"), unit[0]]
    }
    return _Data(data["templates"], data["months"], data["languages"], units)
