"""Names of persons, ships, languages and countries, and links to other wikis."""

import re

from pipeline.extraction.wikitext.templates import locales
from pipeline.extraction.wikitext.templates.call import Call

_SHIP_PREFIXES = {"hnlms": "HNLMS", "hnoms": "HNoMS", "hswms": "HSwMS", "kri": "KRI", "lé": "LÉ"}
_RECORD = re.compile(r"Q\d+")
"""The number of a page in Wikidata."""
_ARTICLE = re.compile(r"s[^aeiou]|z|gn|ps")
_COORDINATE = re.compile(r"[-−+]?\d{1,3}(?:\.\d+)?")
_IGNORED_SOUNDS = frozenset({"", "lang", "local", "pron", "en", "us", "uk", "ipa", "label", "also", "small"})


def sortname(call: Call) -> str:
    """Format ``{{sortname|John|Brown}}``."""
    return " ".join(part for part in (call.get("1", "first"), call.get("2", "last")) if part)


def ship(call: Call) -> str:
    """Format ``{{HMS|Victory|1765|2}}`` or ``{{ship|HMS|Victory}}``: prefix, name, identification, style."""
    if call.name == "ship":
        prefix, name, number, style = call.get("1"), call.get("2"), call.get("3"), call.get("4", "up")
    else:
        prefix = _SHIP_PREFIXES.get(call.name, call.name.upper())
        name, number, style = call.get("1"), call.get("2"), call.get("3")
    if style == "1":
        return number
    identified = number and style in ("", "5")
    parts = ["" if style in ("2", "5") else prefix, name, f"({number})" if identified else ""]
    return " ".join(part for part in parts if part)


def interlanguage(call: Call) -> str:
    """Return the label of a link to an article that exists in another language only.

    Its title comes before or after the language's code.
    """
    label = call.get("lt", "label", "display", "texte", "text", "текст", "tekst", "نص", "texto", "d")
    local = call.get("trad", "fr", "local", "треба", "есть", "عر", "ja", "pl", "en text", "título", "1")
    words = [word for word in call.positional if not _RECORD.fullmatch(word)]
    if label or not words:
        return label or local
    if locales.is_language_code(words[0]) and len(words) > 1 and not locales.is_language_code(words[1]):
        return next((word for word in (*words[3:1:-1], words[1]) if word), "")
    if len(words) > 2 and locales.is_language_code(words[2]) and not locales.is_language_code(words[1]):
        return words[1] or words[0]  # {{нп5|title|label|en|foreign title}}
    if len(words) > 3 and locales.is_language_code(words[1]):
        return words[3] or words[0]  # {{仮リンク|title|en|foreign title|label}}
    return words[0]


def in_language(call: Call) -> str:
    """Format ``{{lang-de|Ripen}}`` or ``{{langx|de|Ripen}}`` as words after the name of their language."""
    code = call.name.partition("-")[2] if call.name.startswith("lang-") else ""
    words = call.get("1", "text") if code else call.get("2", "text")
    return named_language((code or call.get("1")).removesuffix("-short"), words, call)


def language_suffix(call: Call) -> str:
    """Format ``{{enS|lighthouse}}`` of the German Wikipedia."""
    words = ", ".join(part for part in call.positional[:2] if part)
    return named_language(call.name.removesuffix("s"), words, call)


def named_language(code: str, words: str, call: Call) -> str:
    """Return words after the name of their language, unless the call asks for none."""
    is_named = call.get("label") != "none" and call.get("links") != "no label"
    name = locales.language_name(code.lower(), call.language) if words and is_named else ""
    if not name:
        return words
    joint = locales.data()["joints"].get(call.language, ": ")
    return f"{name}{joint}{words}"


def with_original(call: Call) -> str:
    """Format ``{{nihongo|Tokyo|東京|Tōkyō}}``: a name, and in parentheses its spelling and sound."""
    name, spelling, transliteration = (call.get(key).strip(" ,") for key in "123")
    parts = [part for part in (spelling, transliteration if name else "") if part]
    opening, joint, closing = "（，）" if call.language == "zh" else (" (", ", ", ")")
    name = name or transliteration
    return f"{name}{opening}{joint.join(parts)}{closing}" if name and parts else name or spelling


def of_language(call: Call) -> str:
    """Format a word of another language after the language's name, as in etymologies."""
    is_first = call.name in ("cog", "cognate", "noncog", "etyl", "desc", "desctree", "ncog")
    code = call.get("1" if is_first else "2")
    word = call.get("3", "2") if is_first else call.get("alt", "4", "3")
    if call.name == "etyl":
        word = ""
    joint = ": " if call.name.startswith("desc") else " "
    return joint.join(
        part for part in (locales.language_name(code, "en"), word if word != "-" else "") if part
    )


def form_of(call: Call) -> str:
    """Format ``{{plural of|en|cat}}`` or ``{{plural of|cat|lang=en}}`` of Wiktionaries."""
    word = next((part for part in reversed(call.positional[:2]) if part), "")
    word = call.get("alt", "3") if call.get("alt") or (call.get("3") and not call.get("lang")) else word
    relation = {"alt form": "alternative form of", "altform": "alternative form of", "synof": "synonym of"}
    return (
        f"{relation.get(call.name, call.name.removeprefix('en-').removeprefix('ja-'))} {word}" if word else ""
    )


def compound(call: Call) -> str:
    """Join the parts of a word; the first argument may be its language's code."""
    parts = [part for part in call.positional if part]
    return " + ".join(parts[1:] if len(parts) > 1 and locales.is_language_code(parts[0]) else parts)


def country(call: Call) -> str:
    """Return the name of a country given by its name or code."""
    name = call.get("1", "name", "nome")
    return locales.country_name(name, call.language) or name


def flag(call: Call) -> str:
    """Return the country of a flag that stands for its name, an empty string if the name follows."""
    is_named = call.get("2", "nome") in ("nome", "name")
    return country(call) if is_named or not call.place().is_before_name else ""


def pronunciation(call: Call) -> str:
    """Return sounds in a sentence. Those in parentheses after a word are left out."""
    if call.place().is_pronunciation:
        return ""
    parts = [part for part in call.positional if part.lower() not in _IGNORED_SOUNDS]
    if call.name.startswith("ipac"):
        return f"/{''.join(parts).replace('_', ' ')}/" if parts else ""
    if len(parts) > 1 and locales.is_language_code(parts[0]):
        parts = parts[1:]
    return ", ".join(parts[:1] if call.options.project != "wiktionary" else parts)


def respelling(call: Call) -> str:
    """Format ``{{respell|FEE|bəs}}``, as :func:`pronunciation`."""
    return "" if call.place().is_pronunciation else "-".join(part for part in call.positional if part)


def coordinates(call: Call) -> str:
    """Format ``{{coord|51|30|N|0|7|W}}``; empty if the page shows it beside its title only."""
    if call.get("display").strip(" ,") in ("title", "t"):
        return ""
    parts: list[str] = []
    for argument in call.positional:
        if argument.upper() in ("N", "S", "E", "W", "O"):
            parts[-1:] = [parts[-1] + argument.upper()] if parts else []
        elif _COORDINATE.fullmatch(argument):
            is_first = not parts or parts[-1][-1].isalpha()
            mark = "°" if is_first else "′" if parts[-1].endswith("°") else "″"
            parts = [*parts, argument + mark] if is_first else [*parts[:-1], parts[-1] + argument + mark]
        else:
            break
    return " ".join(parts)


def biography(call: Call) -> str:
    """Return the sentence that ``{{Bio}}`` produces in the Italian Wikipedia."""
    born = ", ".join(
        part for part in (call.get("luogonascita"), _day(call, "giornomesenascita", "annonascita")) if part
    )
    died = ", ".join(
        part for part in (call.get("luogomorte"), _day(call, "giornomesemorte", "annomorte")) if part
    )
    life = " – ".join(part for part in (born, died) if part)
    name = " ".join(part for part in (call.get("titolo"), call.get("nome"), call.get("cognome")) if part)
    if end := call.get("fineincipit"):
        verb = end if end.startswith(("è ", "fu ", "è stat")) else f"è {'stato ' if died else ''}{end}"
    else:
        work = [call.get(key) for key in ("attività", "attività2", "attività3") if call.get(key)]
        listed = " e ".join([", ".join(work[:-1]), work[-1]] if len(work) > 1 else work)
        is_woman = call.get("sesso").upper() == "F"
        article = "una" if is_woman else "uno" if _ARTICLE.match(listed) else "un"
        been = f"stat{'a' if is_woman else 'o'} " if died else ""
        verb = f"è {been}{article} {listed} {call.get('nazionalità')}".rstrip()
    after = call.get("postcognome")
    name += after if after.startswith((",", "(")) or not after else f" {after}"
    return f"{name}{f' ({life})' if life else ''} {verb}{call.get('postnazionalità')}."


def _day(call: Call, day: str, year: str) -> str:
    return " ".join(part for part in (call.get(day), call.get(year)) if part and part != "?")
