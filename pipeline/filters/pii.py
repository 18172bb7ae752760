"""Personal data in text: found, counted, and replaced by stable tags.

E-mail addresses, public IP addresses, payment cards (by issuer, length and Luhn's checksum), IBANs (by
country, length and ISO 7064's checksum) and telephone numbers that are written as such: international ones
with a plus sign, North American ones in their grouping, others after a word like *tel* or *phone*. Private,
reserved and documentation addresses (RFC 1918, 2606, 5737, …) stay, since they belong to nobody.
"""

import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

_LONG_NUMBER = re.compile(r"[0-9](?:[ .()/-]{0,2}[0-9A-Z]){6}")
_VERSION_LABEL = re.compile(r"(?i)(?:\bv|\bver|version|release|build)\.?\s?$")
_PHONE_LABEL = re.compile(
    r"(?i)(?<![\w<])(?:tel|telephone|telefon|téléphone|teléfono|telefone|phone|mobile|fax|handy|whatsapp)"
    r"[.:]{0,2}[ \xa0]?$"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of personal data: its metric, its tag, a cheap sign of it, its form and its check."""

    metric: str
    tag: str
    sign: re.Pattern[str]
    """Quickly found, and part of every such item."""
    form: re.Pattern[str]
    """Candidates; the group ``it``, where there is one, is what is replaced."""
    measure: Callable[[re.Match[str]], int]
    """How many characters of the candidate are personal data; 0: it is none."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A text without its personal data, and how many items of each kind were taken out."""

    text: str
    metrics: dict[str, float]


def mask(text: str) -> Masked:
    """Replace personal data by tags. Masking what is masked changes nothing."""
    counts = dict.fromkeys((kind.metric for kind in KINDS), 0.0)
    while found := _without_overlaps(text):
        pieces, position = [], 0
        for start, end, kind in found:
            pieces += [text[position:start], kind.tag]
            position = end
            counts[kind.metric] += 1
        text = "".join([*pieces, text[position:]])
    return Masked(text, counts)


def _without_overlaps(text: str) -> list[tuple[int, int, Kind]]:
    """What is found, in order; of two that overlap, the one that begins first, then the longer one."""
    present = {sign for sign in {kind.sign for kind in KINDS} if sign.search(text)}
    found = [item for kind in KINDS if kind.sign in present for item in _find(kind, text)]
    found.sort(key=lambda item: (item[0], -item[1]))
    chosen: list[tuple[int, int, Kind]] = []
    for start, end, kind in found:
        if not chosen or start >= chosen[-1][1]:
            chosen.append((start, end, kind))
    return chosen


def _find(kind: Kind, text: str) -> Iterator[tuple[int, int, Kind]]:
    for match in kind.form.finditer(text):
        if length := kind.measure(match):
            start = match.start("it")
            yield start, start + length, kind


def _email(match: re.Match[str]) -> int:
    """All of it, unless its domain is reserved for documentation and tests (RFC 2606)."""
    labels = match["it"].rpartition("@")[2].lower().split(".")
    reserved = labels[-1] in {"example", "test", "invalid", "localhost"} or labels[-2] == "example"
    return 0 if reserved else len(match["it"])


def _ip_address(match: re.Match[str]) -> int:
    """All of it, if it is a public unicast address (IPv6: in 2000::/3) and no version number."""
    start = match.start("it")
    if _VERSION_LABEL.search(match.string[max(start - 10, 0) : start]):
        return 0
    try:
        address = ipaddress.ip_address(match["it"])
    except ValueError:
        return 0
    public = address.is_global and not address.is_multicast
    assigned = address.version == 4 or address.packed[0] >> 5 == 1
    return len(match["it"]) if public and assigned else 0


def _card(match: re.Match[str]) -> int:
    """All of it, if an issuer's numbers begin so and are as long, and Luhn's sum is a multiple of ten."""
    digits = [int(character) for character in match["it"] if character.isdigit()]
    number = "".join(map(str, digits))
    issued = any(
        first <= number[: len(first)] <= last and len(digits) in issuer["digits"]
        for issuer in _data("card_issuers.toml")["issuer"]
        for first, last in issuer["prefixes"]
    )
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(match["it"]) if issued and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else 0


def _iban(match: re.Match[str]) -> int:
    """As many characters as the country's IBANs have, if their remainder modulo 97 is 1."""
    candidate = match["it"]
    wanted = _data("iban_lengths.toml").get(candidate[:2], 0)
    places = [place for place, character in enumerate(candidate) if character != " "][:wanted]
    if not wanted or len(places) < wanted or _next_character(match, places[-1] + 1).isalnum():
        return 0
    compact = "".join(candidate[place] for place in places)
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return places[-1] + 1 if int(digits) % 97 == 1 else 0


def _next_character(match: re.Match[str], length: int) -> str:
    after = match.start("it") + length
    return match.string[after : after + 1]


def _phone(match: re.Match[str]) -> int:
    """All of it, if it has 8 to 15 digits (E.164), not all the same."""
    digits = re.sub(r"\D", "", match["it"])
    return len(match["it"]) if 8 <= len(digits) <= 15 and len(set(digits)) > 2 else 0


def _labelled_phone(match: re.Match[str]) -> int:
    start = match.start("it")
    return _phone(match) if _PHONE_LABEL.search(match.string[max(start - 14, 0) : start]) else 0


@cache
def _data(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("pipeline.filters").joinpath("data", name).read_text("utf-8"))


KINDS = (
    Kind(
        "pii_emails",
        "<email>",
        re.compile("@"),
        re.compile(
            r"(?<![\w.%+'-])(?P<it>[\w%+-](?:[\w.%+'-]{0,62}[\w%+-])?@"
            r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24})(?![\w@-])"
        ),
        _email,
    ),
    Kind(
        "pii_ip_addresses",
        "<ip>",
        re.compile(r"\.[0-9]{1,3}\.[0-9]"),
        re.compile(r"(?P<it>[0-9](?<![\w.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3})(?![\w-]|\.\w)"),
        _ip_address,
    ),
    Kind(
        "pii_ip_addresses",
        "<ip>",
        re.compile(r":[0-9A-Fa-f]{0,4}:"),
        re.compile(
            r"(?P<it>[0-9A-Fa-f](?<![\w:.].)[0-9A-Fa-f]{0,3}(?::[0-9A-Fa-f]{0,4}){2,7})(?![\w:]|\.\w)"
        ),
        _ip_address,
    ),
    Kind(
        "pii_cards",
        "<card>",
        _LONG_NUMBER,
        re.compile(r"(?=(?P<it>[2-6][0-9]{3}(?:[ -]?[0-9]){10,15})(?![\w-]|[.,][0-9]))[2-6](?<![\w.,-].)"),
        _card,
    ),
    Kind(
        "pii_ibans",
        "<iban>",
        _LONG_NUMBER,
        re.compile(r"(?=(?P<it>[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]){11,31}))[A-Z](?<![\w-].)"),
        _iban,
    ),
    Kind(
        "pii_phones",
        "<phone>",
        re.compile(r"\+[1-9]"),
        re.compile(r"(?P<it>\+(?<![\w+].)[1-9][0-9]{0,2}(?:[ .()/-]{0,2}[0-9]){6,13})(?![\w-])"),
        _phone,
    ),
    Kind(
        "pii_phones",
        "<phone>",
        re.compile(r"-[0-9]{4}"),
        re.compile(
            r"(?<![\w.+-])(?P<it>(?:1[ -])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}-)"
            r"[2-9][0-9]{2}-[0-9]{4})(?![\w-])"
        ),
        _phone,
    ),
    Kind(
        "pii_phones",
        "<phone>",
        _LONG_NUMBER,
        re.compile(r"(?P<it>[(0-9](?<![\w.,+-].)(?:[ .()/-]{0,2}[0-9]){6,14})(?![\w-])"),
        _labelled_phone,
    ),
)
"""Every kind that is looked for; their order decides nothing."""
