"""Expansion of templates to text; most are boilerplate and expand to nothing.

``templates.toml`` lists the templates with text, by language and project. Each has a pattern such as ``{1}[
({2/alt})]`` or a function ``@name``. In a pattern, braces hold the name of an argument, or alternatives of
which the first non-empty one is used; text in brackets is omitted if an argument in it is missing.
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
_ESCAPE = str.maketrans("[]{}", "\ufdd1\ufdd2\ufdd3\ufdd4")
"""Brackets in arguments are replaced by noncharacters, so that they are not parsed as the pattern's."""
_UNESCAPE = str.maketrans("\ufdd1\ufdd2\ufdd3\ufdd4", "[]{}")
_NAME = re.compile(r"\s*+([^\s=<>\[\]{}][^=<>\[\]{}\n]{0,60}?)\s*=")
_NUMBER = re.compile(r"([-−+]?)(\d{4,})((?:[.,]\d+)?)$")


@dataclass(frozen=True, slots=True)
class Call:
    """A use of a template: its positional and named arguments, stripped of white space."""

    name: str
    positional: Sequence[str] = ()
    named: Mapping[str, str] = field(default_factory=dict)
    language: str = "en"

    def get(self, *keys: str) -> str:
        """Return the first non-empty argument of these; positional ones are counted from 1."""
        for key in keys:
            found = self.named.get(key, "")
            if not found and key.isdecimal() and 0 < int(key) <= len(self.positional):
                found = self.positional[int(key) - 1]
            if found:
                return found
        return ""


@dataclass(frozen=True, slots=True)
class _Data:
    templates: Mapping[str, Mapping[str, str]]
    months: Mapping[str, Sequence[str]]
    languages: Mapping[str, Mapping[str, str]]
    units: Mapping[str, Unit]


def expand(head: str, arguments: Sequence[tuple[str, str]], language: str, project: str) -> str:
    """Return the text of ``{{head|…}}``.

    Each argument is given as its text before any inner bracket, in which its name is looked for, and its
    whole text.
    """
    name, colon, first = head.partition(":")
    name = " ".join(name.replace("_", " ").lower().split())
    patterns = _patterns(language, project)
    pattern = patterns.get(name + ":") if colon else patterns.get(name)
    if pattern is None and "-" in name:
        pattern = patterns.get(name.partition("-")[0] + "-")
    if not pattern:
        return ""
    positional = [first.strip()] if colon else []
    named: dict[str, str] = {}
    for prefix, argument in arguments:
        found = None if name.startswith("#") else _NAME.match(prefix)
        if found:
            named[found[1]] = argument[found.end() :].strip()
        else:
            positional.append(argument.strip())
    call = Call(name, positional, named, language)
    return _FUNCTIONS[pattern](call) if pattern in _FUNCTIONS else _fill(pattern, call)


def _fill(pattern: str, call: Call) -> str:
    """Substitute the arguments into a pattern, from the innermost brackets outwards."""

    def argument(found: re.Match[str]) -> str:
        return call.get(*found[1].split("/")).translate(_ESCAPE)

    def optional(found: re.Match[str]) -> str:
        is_complete = all(call.get(*each.split("/")) for each in _ARGUMENT.findall(found[1]))
        return _ARGUMENT.sub(argument, found[1]) if is_complete else ""

    count = 1
    while count:
        pattern, count = _OPTIONAL.subn(optional, pattern)
    return _ARGUMENT.sub(argument, pattern).translate(_UNESCAPE)


def _convert(call: Call) -> str:
    return convert(call.positional, call.named, _data().units)


def _date(call: Call) -> str:
    """Format year, month and day, where given, in the order of the language."""
    year, month, day = [*call.positional, "", "", ""][:3]
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
    return ", ".join(part.strip("* \n") for part in call.positional if part.strip("* \n"))


def _fraction(call: Call) -> str:
    parts = [part for part in call.positional if part]
    if len(parts) == 3:
        return f"{parts[0]} {parts[1]}⁄{parts[2]}"
    return "⁄".join(parts if len(parts) == 2 else ["1", *parts])


def _number(call: Call) -> str:
    """Format a number with the thousands separators of the language."""
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
    """Format ``{{val|1.2|0.1|e=3|u=km}}``: a number with its error, power of ten and unit."""
    error = f" ± {call.get('2')}" if call.get("2") else ""
    power = f" × 10^{call.get('e')}" if call.get("e") else ""
    unit = call.get("u", "ul")
    return f"{call.get('1')}{error}{power}{' ' + unit if unit else ''}"


def _in_language(call: Call) -> str:
    """Format ``{{lang-de|Ripen}}``: the name of the language, if known, and the words."""
    code = call.name.partition("-")[2]
    name = _data().languages.get(call.language, {}).get(code)
    words = call.get("1", "text")
    return f"{name}: {words}" if name and words else words


def _of_language(call: Call) -> str:
    """Format a word of another language after the language's name, as in etymologies."""
    is_first = call.name in ("cog", "cognate", "noncog", "etyl")
    code = call.get("1" if is_first else "2")
    word = call.get("3", "2") if is_first else call.get("alt", "4", "3")
    if call.name == "etyl":
        word = ""
    name = _data().languages["en"].get(code, "")
    return " ".join(part for part in (name, word if word != "-" else "") if part)


def _compound(call: Call) -> str:
    """Join the parts of a word; the first argument may be its language's code."""
    parts = [part for part in call.positional if part]
    return " + ".join(parts[1:] if parts[:1] and parts[0] in _data().languages["en"] else parts)


def _if(call: Call) -> str:
    return call.get("2") if call.get("1") else call.get("3")


def _biography(call: Call) -> str:
    """Return the sentence that ``{{Bio}}`` produces in the Italian Wikipedia."""
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
def _patterns(language: str, project: str) -> Mapping[str, str]:
    """Return a wiki's templates: common ones, those of its language and those of its project."""
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
