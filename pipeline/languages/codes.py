"""Language codes: turn any spelling of a language into the code that is used here.

Codes are ISO 639-1, or ISO 639-3 for languages without one; a script is added if it is not the usual one
(``sr-Latn``). Spellings are ISO 639-1, -2 (terminological and bibliographic) and -3, BCP 47 (``zh-Hant-TW``),
locales (``en_US.UTF-8``), codes of FLORES (``eng_Latn``) and of Wikipedia editions, English and native names.
"""

import difflib
import re
import unicodedata
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from core.errors import ConfigError
from core.resources import read_text, read_toml

UNKNOWN = "und"
"""Code of texts whose language is not known (ISO 639-2)."""

_CODE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?")
_TAG = re.compile(r"([a-z]{2,3})((?:[-_][a-z0-9]{1,8})*)")
_SCRIPT = re.compile(r"[-_]([a-z]{4})(?![a-z0-9])")
_LOCALE_SUFFIX = re.compile(r"[.@;].*")
"""Encoding and modifier of a POSIX locale, or the weight in an ``Accept-Language`` header."""
_LISTED = re.compile(r"[,;|/+&()\n\t]|\s-\s")
"""Separators of lists, and of a name in several languages."""
_PRIVATE = re.compile("q[a-t][a-z]")
"""ISO 639-2 codes for local use."""
_QUOTES = " \t\n\"'`[](){}<>"


@lru_cache(maxsize=1 << 12)
def parse(spelling: str) -> str:
    """Return the code for a declared language, or an empty string for placeholders and what is no language.

    Of a list, the first language counts.
    """
    text = unicodedata.normalize("NFKC", spelling[:200]).strip(_QUOTES).casefold()
    if "://" in text:
        text = text.rstrip("/#").rpartition("/")[2]
    for part in (text, *_LISTED.split(text)):
        if code := _parse_one(part.strip(_QUOTES)):
            return code
    words = text.split()
    listed = len(words) > 1 and all(_TAG.fullmatch(word) and _parse_one(word) for word in words)
    return _parse_one(words[0]) if listed else ""


def without_script(code: str) -> str:
    """Return the language of a code: ``sr`` for ``sr-Latn``."""
    return code.partition("-")[0]


def are_close(one: str, other: str) -> bool:
    """True if models often confuse two languages because they are written alike."""
    return any(one in group and other in group for group in _mappings()["close"])


def configured(spelling: str, key: str, *, other_model: bool = False) -> str:
    """Return the code for a language in the setting ``key``.

    ``other_model``: accept all well-formed codes, since another model than the packaged one identifies
    languages, perhaps by script. Raises :class:`ConfigError` with the nearest codes for what is no language.
    """
    if spelling == UNKNOWN:
        return spelling
    if code := parse(spelling):
        return code if other_model else without_script(code)
    if spelling.strip().casefold() in _mappings()["placeholders"]:
        raise ConfigError(
            f"{key}: {spelling!r} is not a language; write {UNKNOWN} for texts whose language is not known"
        )
    if other_model and _CODE.fullmatch(spelling):
        return spelling
    near = difflib.get_close_matches(spelling.lower(), _common_codes(), n=3, cutoff=0.0)
    raise ConfigError(
        f"{key}: {spelling!r} is not a language; the nearest valid codes are {', '.join(near)}; "
        "use ISO 639-1 such as en, or else ISO 639-3"
    )


def label_code(label: str) -> str:
    """Map a model's label to our code: ``en`` and ``eng_Latn`` to ``en``, ``srp_Latn`` to ``sr-Latn``."""
    language, _, script = label.partition("_")
    return _with_script(_mappings()["languages"].get(language, language), script) if script else label


def _parse_one(text: str) -> str:
    """Return the code for a single tag or name in lower case; an empty string if it is neither."""
    tag = _LOCALE_SUFFIX.sub("", text).strip()
    if not tag or tag in _mappings()["placeholders"] or _PRIVATE.fullmatch(tag):
        return ""
    if code := _mappings()["editions"].get(tag.replace("_", "-")):
        return str(code)
    return _parse_tag(tag) or _parse_name(text)


def _parse_tag(tag: str) -> str:
    """Return the code for a code or a tag; an empty string if its first part is not a known code."""
    if not (match := _TAG.fullmatch(tag)):
        return ""
    language, rest = match[1], match[2]
    if tag == "als":
        return tag
    code = _mappings()["languages"].get(language) or _mappings()["editions"].get(language, language)
    script = _SCRIPT.search(rest)
    known = code in _known_codes() or (language == "nan" and rest)
    return _with_script(code, script[1].title() if script else "") if known else ""


def _with_script(code: str, script: str) -> str:
    usual = _mappings()["scripts"].get(code, script)
    return f"{code}-{script}" if script and script != usual else code


def _parse_name(text: str) -> str:
    """Return the code for a name, ignoring what follows it: ``English (US)``, ``German language``."""
    words = fold(text).split()
    names = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next((code for name in names if (code := _codes_by_name().get(name))), "")


def fold(name: str) -> str:
    """Return a name in lower case, its words separated by spaces, without combining marks and punctuation."""
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    kept = "".join(character for character in decomposed if unicodedata.category(character)[0] != "M")
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", kept)))


@cache
def _codes_by_name() -> dict[str, str]:
    names: dict[str, list[str]] = read_toml("pipeline.languages", "names.toml")
    return {name: code for code, spellings in names.items() for name in spellings}


@cache
def _known_codes() -> frozenset[str]:
    """Return all codes that :func:`parse` returns, and the codes of ISO 639-3 that it maps to them."""
    lines = read_text("pipeline.languages", "codes.txt").splitlines()
    return frozenset([*_common_codes(), *" ".join(lines[1:]).split()])


@cache
def _common_codes() -> list[str]:
    """Return the two-letter codes and those of languages with a name, sorted."""
    listed = (_mappings()[table].values() for table in ("languages", "editions"))
    return sorted({*chain(*listed), *_codes_by_name().values()})


@cache
def _mappings() -> dict[str, Any]:
    return read_toml("pipeline.languages", "mappings.toml")
