"""Find phone numbers in text by the numbering plans of ``phonenumbers`` (Google's libphonenumber).

An international number (``+49 30 …``) must be valid in its country. A national number must be valid in a
country where the text's language is spoken, and must be formatted like one: with an area code in parentheses,
with a trunk zero and groups, or grouped as in North America. After a label such as *phone*, any grouping and
more countries are accepted. Dates, year ranges, decimals and parts of longer numbers are excluded.

The library's parser takes 0.2 ms per number, as much as a whole page may take. Its metadata, compiled to one
pattern per country calling code, gives the same result in a microsecond.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, country_code_for_region

from core.resources import read_toml
from pipeline.filters.pii.folding import Folded, Span

Rule = Callable[[str, int, int, str, str], bool]
"""Return True for a phone number, given the folded text, start and end, digits, and language."""

_MIN_DIGITS, _MAX_DIGITS = 7, 17
"""Digits of a number as written: E.164 allows 15, to which a national prefix may add."""
_MIN_DIGITS_UNLABELLED = 9
"""Minimum number of digits of a national number without a label such as *phone*."""
_MIN_DIGITS_WITH_COUNTRY = 10
"""Minimum number of digits of an international number without a plus sign."""
_NORTH_AMERICA = 1
"""Country calling code of North America, whose formats are recognized in every language."""
_LABEL_WINDOW = 24
"""Characters before a number that are searched for a label such as *phone*."""

_GROUP = re.compile("[0-9]+")
_AMERICAN = re.compile(
    r"""
      (?:1[ .-])? [2-9][0-9]{2} (?: ([ .-])[2-9][0-9]{2}\1 | [ /][2-9][0-9]{2}[.-] ) [0-9]{4}
    | (?:1[ .-])? \([2-9][0-9]{2}\) [ ]?-?[ ]? [2-9][0-9]{2} [ .-]{1,3} [0-9]{4}
    """,
    re.VERBOSE,
)
_NATIONAL = re.compile(
    r"""
      (?:[0178][ .-]?)? \([0-9]{2,5}\) [ ]?[/.-]?[ ]? [0-9]{2,8} (?:[ .-][0-9]{1,5}){0,3}
    | \(?0[0-9]{0,5} (?:[ ][0-9]{2}){0,2} (?:\)[ ]?|[ ]?/[ ]?) [0-9]{2,8} (?:[ .-][0-9]{1,5}){0,4}
    | 0[0-9]{1,5} (?:[ ]?-[ ]?|[ ]) [0-9]{2,8} (?: ([ .-])[0-9]{2,6} (?:\1[0-9]{2,5}){0,3} )?
    | 0[0-9]{2,5} \. [0-9]{3,8} (?:\.[0-9]{2,5})?
    | 0[0-9] (?:\.[0-9]{2}){4}
    """,
    re.VERBOSE,
)
"""An area code in parentheses or before a slash; or a trunk zero and groups."""
_DATE = re.compile(
    r"""
    (?:\([0-9]+\)[ ]?|\()? (?: [0-9]{1,2} ([./ -]) [0-9]{1,2} \1 (?:19|20)[0-9]{2}
          | (?:19|20)[0-9]{2} [ ./-]{1,3} (?: [0-9]{1,2} [./ -] [0-9]{1,2} | (?:19|20)[0-9]{2} )
          | (?:19|20)[0-9]{2} \) [ ]? [0-9]{1,5} - [0-9]{1,5}
        ) (?![0-9])
    """,
    re.VERBOSE,
)
"""A date, a range of years, or a year in parentheses and pages."""
_PAGES = re.compile(r"(?<=[ (]p\. )[0-9]{2,5}-[0-9]{2,5}(?![0-9.-])")
_POSTAL_CODE = re.compile(r"[0-9]{5}-[0-9]{4}(?![0-9-])")
_US_STATE_BEFORE = re.compile(r"\b[A-Z]{2},?[\s#*/]{1,8}$")
_OTHER_START = re.compile(
    r"[^0-9]*(?:\([0-9]{1,5}\)|(?<=[ /])(?:1[ .-])?[2-9][0-9]{2}[ ./-][2-9]|(?<=[ /-] )0)"
)
"""Position where a number may start after other digits."""
_AREA_CODE_REST = re.compile(r"[0-9 -]{1,7}\)")
"""The rest of an area code after an opening parenthesis."""
_BEFORE_INTERNATIONAL = re.compile(r"(?<![0-9ß+])(?!(?<=[0-9ß] )\+ |\+ [0-9]{6})")
_BEFORE_NATIONAL = re.compile(
    r"(?<![0-9_ß.,+#$=@&%*-])(?<![0-9]:)(?<![A-Za-z]/)(?<![A-Za-zé])(?<![0-9a-fA-F]{2} [0-9a-fA-F]{2} )"
)
_BEFORE_AMERICAN = re.compile(r"(?<![0-9_ß.,+#$=@&%*-])(?<![0-9]:)(?<![A-Za-z]/)(?:(?<![A-Za-zé])|(?=\())")
_AFTER_NATIONAL = re.compile(r"(?!\w|[.,:][\w-]|-|[ ]?[%$*]|[ ](?!0)[0-9]|[ ]0[0-9][ ][0-9]{2}(?![0-9]))")
_AFTER_AMERICAN = re.compile(r"(?!\w|[.,:-][\w-]|[ ]?[%$])")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Plan:
    """The valid numbers of one country calling code."""

    prefix: re.Pattern[str]
    """National prefix: a trunk zero, a carrier code."""
    replacement: str
    """Template that replaces the prefix, in countries where it is not simply removed."""
    number: re.Pattern[str]
    """Matches every valid national number without prefix."""

    def is_valid(self, digits: str) -> bool:
        """True if the digits are a valid national number, with or without a prefix."""
        if self.number.fullmatch(digits):
            return True
        prefix = self.prefix.match(digits)
        if not prefix:
            return False
        rewritten = self.replacement and prefix.lastindex and prefix[prefix.lastindex]
        start = prefix.expand(self.replacement) if rewritten else ""
        return self.number.fullmatch(start + digits[prefix.end() :]) is not None


_TYPES = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
)


@cache
def plan(country_code: int) -> Plan:
    """Return the numbering plan of a country calling code, for all regions that share it."""
    regions = [
        region
        for name in COUNTRY_CODE_TO_REGION_CODE[country_code]
        if (region := PhoneMetadata.metadata_for_region_or_calling_code(country_code, name))
    ]
    types = [each for region in regions for name in _TYPES if (each := getattr(region, name))]
    return Plan(
        prefix=re.compile(regions[0].national_prefix_for_parsing or "(?!)"),
        replacement=regions[0].national_prefix_transform_rule or "",
        number=re.compile("|".join(each.national_number_pattern or "(?!)" for each in types)),
    )


def find(folded_text: Folded, language: str) -> Iterator[Span]:
    """Yield start and end of every phone number. ``language``: an ISO 639-1 code, or empty."""
    folded = folded_text.numeric
    for first, last in folded_text.runs:
        groups = [group.span() for group in _GROUP.finditer(folded, first, last)]
        labelled = _follows_label(folded_text.text, _number_start(folded, groups[0]))
        index, at_start = 0, True
        while index < len(groups):
            count = 0
            if at_start or _OTHER_START.match(folded, groups[index - 1][1]):
                start = _number_start(folded, groups[index])
                candidate = groups[index : index + _MAX_DIGITS]
                count = _count_groups(folded, start, candidate, language, labelled and at_start)
                if count:
                    yield start, candidate[count - 1][1]
            index += count or 1
            at_start = count > 0


def _number_start(folded: str, group: Span) -> int:
    """Return the start of a number whose first digits are ``group``, including a plus sign or parenthesis."""
    start = group[0]
    signs = "+(" if _AREA_CODE_REST.match(folded, start) else "+"
    while start and folded[start - 1] in signs:
        start -= 1
    return start - 2 if folded[max(start - 2, 0) : start] == "+ " else start


def _count_groups(folded: str, start: int, groups: list[Span], language: str, labelled: bool) -> int:
    """Return how many of ``groups`` form the number that starts at ``start``: the maximum, or 0 for none."""
    is_number = _select_rule(folded, start, groups[0][0], labelled)
    if not is_number:
        return 0
    digits = [""]
    for first, last in groups:
        if digits[-1] and folded[first] == "0" and "/" in folded[first - 2 : first]:
            break  # start of another number
        digits.append(digits[-1] + folded[first:last])
    for count in range(len(digits) - 1, 0, -1):
        possible = _MIN_DIGITS <= len(digits[count]) <= _MAX_DIGITS
        if possible and is_number(folded, start, groups[count - 1][1], digits[count], language):
            return count
    return 0


def _select_rule(folded: str, start: int, digits_start: int, labelled: bool) -> Rule | None:
    """Return the rule for a number that starts at ``start``, or None if no number can start there."""
    if "+" in folded[start:digits_start]:
        return _is_international if _BEFORE_INTERNATIONAL.match(folded, start) else None
    if _DATE.match(folded, start) or _PAGES.match(folded, start):
        return None
    if labelled:
        return _is_labelled
    if _POSTAL_CODE.match(folded, start) and _US_STATE_BEFORE.search(folded, max(start - 12, 0), start):
        return None
    if _BEFORE_NATIONAL.match(folded, start) and _NATIONAL.match(folded, start):
        return _is_national
    return _is_national if _BEFORE_AMERICAN.match(folded, start) and _AMERICAN.match(folded, start) else None


def _is_international(folded: str, _: int, end: int, digits: str, __: str) -> bool:
    return not _WORD.match(folded, end) and _is_valid_international(digits)


def _is_labelled(folded: str, _: int, end: int, digits: str, language: str) -> bool:
    if _WORD.match(folded, end):
        return False
    with_country = len(digits) >= _MIN_DIGITS_WITH_COUNTRY and _is_valid_international(digits)
    return with_country or _is_valid_national(digits, (*_plans(language), *_plans("")))


def _is_national(folded: str, start: int, end: int, digits: str, language: str) -> bool:
    if _AMERICAN.fullmatch(folded, start, end) and plan(_NORTH_AMERICA).is_valid(digits):
        return _AFTER_AMERICAN.match(folded, end) is not None
    if not _NATIONAL.fullmatch(folded, start, end) or not _AFTER_NATIONAL.match(folded, end):
        return False
    enough = len(digits) >= _MIN_DIGITS_UNLABELLED or folded.startswith("(0", start)
    return enough and _is_valid_national(digits, _plans(language))


def _is_valid_international(digits: str) -> bool:
    for length in () if digits.startswith("0") else (1, 2, 3):
        if (code := int(digits[:length])) in COUNTRY_CODE_TO_REGION_CODE:
            return plan(code).is_valid(digits[length:])
    return False


def _is_valid_national(digits: str, plans: tuple[Plan, ...]) -> bool:
    if digits.startswith("00"):
        return _is_valid_international(digits[2:])
    return any(plan.is_valid(digits) for plan in plans)


@cache
def _plans(language: str) -> tuple[Plan, ...]:
    """Return the numbering plans for national numbers in texts of a language."""
    regions = _data("phone_regions.toml")
    codes = map(country_code_for_region, regions.get(language, regions["other"]))
    return tuple(plan(code) for code in dict.fromkeys(codes))


def _follows_label(text: str, start: int) -> bool:
    """True if a label such as *phone* precedes ``start``, on its line or at the end of the previous one."""
    before = text[max(start - _LABEL_WINDOW, 0) : start].lower()
    return _reversed_label().match(before[::-1]) is not None


@cache
def _reversed_label() -> re.Pattern[str]:
    """Return a pattern for a label and its separator, to match the reversed text before a number."""
    data = _data("phone_labels.toml")
    between = "|".join(word[::-1] for word in data["between"])
    labels = "|".join(word[::-1] + _start_of_label(word) for word in data["labels"])
    return re.compile(
        r"[^\S\n]{0,3}\n?[^\S\n]{0,3}[.:：)/|\](-]{0,3}[^\S\n]{0,2}[.:：]?[^\S\n]{0,2}"
        rf"(?:(?:(?:(?:{between})[ -]?){{0,2}}|(?:(?<=:)|(?<=: ))[^\W\d_]{{2,14}}[ .]{{1,2}})(?:{labels})"
        r"|(?<=[.:])[tfpm](?![^\s|/(]))"
    )


def _start_of_label(word: str) -> str:
    """Return what must precede a label. East Asian words have no boundaries; "astro-ph/" is no label."""
    if word >= "\u2e80":
        return ""
    return r"(?![\w-])" if len(word) == 2 else r"(?!\w)"


@cache
def _data(name: str) -> dict[str, Any]:
    return read_toml("pipeline.filters.pii", f"data/{name}")
