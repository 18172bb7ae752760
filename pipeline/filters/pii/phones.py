"""Telephone numbers in text, as the numbering plans of ``phonenumbers`` (Google's libphonenumber) know them.

An international number (``+49 30 …``) has to be valid in its country. A national one has to be valid in a
country where the text's language is spoken, and to look like one: with an area code in parentheses, with a
trunk zero and groups, or grouped as in North America; any grouping will do after a word like *phone*, and
more countries. Dates, ranges of years, decimals and parts of longer numbers are none.

The library's own parser takes 0.2 ms a number, as long as a whole page may; its metadata, compiled to one
pattern per country calling code, decides the same in a microsecond.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, country_code_for_region

from core.resources import read_toml

Span = tuple[int, int]
"""Where something starts and ends."""
Rule = Callable[[str, int, int, str, str], bool]
"""Of the folded text, a number's start and end, its digits, the language: whether it is a telephone's."""

_FEWEST_DIGITS, _MOST_DIGITS = 7, 17
"""Of a number as it is written: E.164 allows fifteen, and a national prefix may be among them."""
_FEWEST_UNLABELLED = 9
"""Of a national number that no word like *phone* precedes."""
_FEWEST_WITH_COUNTRY = 10
"""Of an international number without its plus sign."""
_AMERICA = 1
"""The country calling code of North America, whose way to write numbers is known in every language."""
_LABEL_REACH = 24
"""Characters before a number in which a word like *phone* is looked for."""

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
"""An area code in parentheses or before a slash; a trunk zero, and groups."""
_DATE = re.compile(
    r"""
    (?:\([0-9]+\)[ ]?|\()? (?: [0-9]{1,2} ([./ -]) [0-9]{1,2} \1 (?:19|20)[0-9]{2}
          | (?:19|20)[0-9]{2} [ ./-]{1,3} (?: [0-9]{1,2} [./ -] [0-9]{1,2} | (?:19|20)[0-9]{2} )
        ) (?![0-9])
    """,
    re.VERBOSE,
)
"""A day or a range of years."""
_OTHER_START = re.compile(
    r"[^0-9]*(?:\([0-9]{1,5}\)|(?<=[ /])(?:1[ .-])?[2-9][0-9]{2}[ ./-][2-9]|(?<=[ /-] )0)"
)
"""Where a number may begin after other digits."""
_CLOSED = re.compile(r"[0-9 -]{1,7}\)")
"""The rest of an area code after an opening parenthesis."""
_BEFORE_INTERNATIONAL = re.compile(r"(?<![0-9ß+])(?!(?<=[0-9ß] )\+ |\+ [0-9]{6})")
_BEFORE_NATIONAL = re.compile(r"(?<![0-9_ß.,+#$=@&%*-])(?<![0-9]:)(?<![A-Za-z]/)(?:(?<![A-Za-zé])|(?=\())")
_AFTER_NATIONAL = re.compile(r"(?!\w|[.,:][\w-]|-|[ ]?[%$]|[ ](?!0)[0-9]|[ ]0[0-9][ ][0-9]{2}(?![0-9]))")
_AFTER_AMERICAN = re.compile(r"(?!\w|[.,:-][\w-]|[ ]?[%$])")
_WORD = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Plan:
    """The valid numbers of one country calling code."""

    prefix: re.Pattern[str]
    """What may precede a national number: a trunk zero, a carrier's code."""
    replacement: str
    """What the prefix becomes in countries where it is not just left out."""
    number: re.Pattern[str]
    """Every valid national number without a prefix."""

    def holds(self, digits: str) -> bool:
        """Whether the digits are a valid national number, with or without a prefix."""
        if self.number.fullmatch(digits):
            return True
        before = self.prefix.match(digits)
        if not before:
            return False
        moved = self.replacement and before.lastindex and before[before.lastindex]
        kept = before.expand(self.replacement) if moved else ""
        return self.number.fullmatch(kept + digits[before.end() :]) is not None


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
    """The numbering plan of a country calling code that the library knows, of all regions that share it."""
    regions = [
        region
        for name in COUNTRY_CODE_TO_REGION_CODE[country_code]
        if (region := PhoneMetadata.metadata_for_region_or_calling_code(country_code, name))
    ]
    kinds = [kind for region in regions for name in _TYPES if (kind := getattr(region, name))]
    return Plan(
        prefix=re.compile(regions[0].national_prefix_for_parsing or "(?!)"),
        replacement=regions[0].national_prefix_transform_rule or "",
        number=re.compile("|".join(kind.national_number_pattern or "(?!)" for kind in kinds)),
    )


def find(text: str, folded: str, runs: list[Span], language: str) -> Iterator[Span]:
    """The start and end of every number in ``text``.

    ``folded`` is the same text, each character as :mod:`pipeline.filters.pii` simplifies it; ``runs`` are the
    places of seven digits and more with little between them; ``language`` is an ISO 639-1 code or empty.
    """
    for first, last in runs:
        groups = [group.span() for group in _GROUP.finditer(folded, first, last)]
        labelled = _follows_label(text, _opening(folded, groups[0]))
        index, expected = 0, True
        while index < len(groups):
            count = 0
            if expected or _OTHER_START.match(folded, groups[index - 1][1]):
                start = _opening(folded, groups[index])
                candidate = groups[index : index + _MOST_DIGITS]
                count = _length(folded, start, candidate, language, labelled and expected)
                if count:
                    yield start, candidate[count - 1][1]
            index += count or 1
            expected = count > 0


def _opening(folded: str, group: Span) -> int:
    """Where a number begins whose first digits are ``group``: these, or a plus sign or parenthesis before."""
    start = group[0]
    signs = "+(" if _CLOSED.match(folded, start) else "+"
    while start and folded[start - 1] in signs:
        start -= 1
    return start - 2 if folded[max(start - 2, 0) : start] == "+ " else start


def _length(folded: str, start: int, groups: list[Span], language: str, labelled: bool) -> int:
    """How many of ``groups`` are the number that begins at ``start``; the most that can be, 0 for none."""
    accepts = _rule(folded, start, groups[0][0], labelled)
    if not accepts:
        return 0
    digits = [""]
    for first, last in groups:
        if digits[-1] and folded[first] == "0" and "/" in folded[first - 2 : first]:
            break  # another number
        digits.append(digits[-1] + folded[first:last])
    for count in range(len(digits) - 1, 0, -1):
        possible = _FEWEST_DIGITS <= len(digits[count]) <= _MOST_DIGITS
        if possible and accepts(folded, start, groups[count - 1][1], digits[count], language):
            return count
    return 0


def _rule(folded: str, start: int, digits_start: int, labelled: bool) -> Rule | None:
    """What a number that begins at ``start`` has to meet; None where none can begin."""
    if "+" in folded[start:digits_start]:
        return _is_international if _BEFORE_INTERNATIONAL.match(folded, start) else None
    if _DATE.match(folded, start):
        return None
    if labelled:
        return _is_labelled
    formed = _NATIONAL.match(folded, start) or _AMERICAN.match(folded, start)
    return _is_national if formed and _BEFORE_NATIONAL.match(folded, start) else None


def _is_international(folded: str, _: int, end: int, digits: str, __: str) -> bool:
    return not _WORD.match(folded, end) and _holds_internationally(digits)


def _is_labelled(folded: str, _: int, end: int, digits: str, language: str) -> bool:
    if _WORD.match(folded, end):
        return False
    with_country = len(digits) >= _FEWEST_WITH_COUNTRY and _holds_internationally(digits)
    return with_country or _holds_nationally(digits, (*_plans(language), *_plans("")))


def _is_national(folded: str, start: int, end: int, digits: str, language: str) -> bool:
    if _AMERICAN.fullmatch(folded, start, end) and plan(_AMERICA).holds(digits):
        return _AFTER_AMERICAN.match(folded, end) is not None
    if not _NATIONAL.fullmatch(folded, start, end) or not _AFTER_NATIONAL.match(folded, end):
        return False
    enough = len(digits) >= _FEWEST_UNLABELLED or folded.startswith("(0", start)
    return enough and _holds_nationally(digits, _plans(language))


def _holds_internationally(digits: str) -> bool:
    for length in () if digits.startswith("0") else (1, 2, 3):
        if (code := int(digits[:length])) in COUNTRY_CODE_TO_REGION_CODE:
            return plan(code).holds(digits[length:])
    return False


def _holds_nationally(digits: str, plans: tuple[Plan, ...]) -> bool:
    if digits.startswith("00"):
        return _holds_internationally(digits[2:])
    return any(plan.holds(digits) for plan in plans)


@cache
def _plans(language: str) -> tuple[Plan, ...]:
    """The numbering plans to try for national numbers in texts of a language."""
    regions = _data("phone_regions.toml")
    codes = map(country_code_for_region, regions.get(language, regions["other"]))
    return tuple(plan(code) for code in dict.fromkeys(codes))


def _follows_label(text: str, start: int) -> bool:
    """Whether a word like *phone* stands before ``start``, on its line or at the end of the one above."""
    before = text[max(start - _LABEL_REACH, 0) : start].lower()
    return _label_backwards().match(before[::-1]) is not None


@cache
def _label_backwards() -> re.Pattern[str]:
    """A label and what may separate it from a number, for a text that is read backwards from the number."""
    words = _data("phone_labels.toml")
    between = "|".join(word[::-1] for word in words["between"])
    labels = "|".join(
        word[::-1] + ("" if word >= "\u2e80" else r"(?!\w)")  # words of Chinese and the like have no edges
        for word in words["labels"]
    )
    return re.compile(
        r"[^\S\n]{0,3}\n?[^\S\n]{0,3}[.:：)/|\](-]{0,3}[^\S\n]{0,2}[.:：]?[^\S\n]{0,2}"
        rf"(?:(?:(?:(?:{between})[ -]?){{0,2}}|(?:(?<=:)|(?<=: ))[^\W\d_]{{2,14}}[ .]{{1,2}})(?:{labels})"
        r"|(?<=[.:])[tfpm](?![^\s|/(]))"
    )


@cache
def _data(name: str) -> dict[str, Any]:
    return read_toml("pipeline.filters.pii", f"data/{name}")
