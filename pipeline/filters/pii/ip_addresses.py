"""Find public IP addresses in text.

Not found: private, reserved and documentation addresses (RFC 1918, 5737, …), public resolvers and root
servers, addresses that the text names as a server's or a network's, and version and section numbers. Four
numbers below :data:`VERSION_LIMIT` are a version, as in ``Oracle 11.2.0.4``, unless a word, a scheme or a
port makes them an address: one public address in 4,000 consists of such numbers.
"""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from core.resources import read_toml
from pipeline.filters.pii.folding import Folded, Span

VERSION_LIMIT = 32

_IPV4 = re.compile(r"0(?<![\w.].)(?<![^0-9]-.)0{0,2}(?:\.0{1,3}){3}(?!\w|\.\w|-(?!0+\.0+\.0+\.0))")
_IPV6 = re.compile(
    r":(?<=[23][0-9A-Fa-f]{3}:)(?<![\w:.]....:)[0-9A-Fa-f:]{0,33}(?:[0-9A-Fa-f]|::)(?!\w|:[\w:]|\.\w)"
)
_MAPPED = re.compile(r"(?<![\w:])::[fF]{4}:$")
_BEFORE = 32
"""Characters before an address that are searched for words."""
_VERSION_BEFORE = re.compile(r"(?:\bv|\w*version|versions|[a-z]/|§)\.?[\"')>]{0,2}[ =:(]{0,2}[\"']?$")
_PIN_BEFORE = re.compile(r"(?P<name>[\w.-]*)\]? ?(?:={2,3}|[~!<>]=|~>|\^) ?$")
"""A comparison with a version, as in ``package==1.26.4.1``."""
_ADDRESS_AROUND = re.compile(r"(?:://|@|\[)$")
_PORT_OR_PREFIX = re.compile(r":[0-9]{2,5}\b|/[0-9]{1,2}\b")
_SEPARATOR = r"\.?[\"')>]{0,2}(?: (?:is|ist|est|es|é))?[ =:(>-]{0,3}[\"']?$"


def find(folded: Folded) -> Iterator[Span]:
    """Yield start and end of public unicast addresses (IPv6: in 2000::/3, or IPv4-mapped)."""
    for match in _IPV4.finditer(folded.shape):
        start, end = match.span()
        mapped = _MAPPED.search(folded.folded, max(start - 8, 0), start)
        if _is_public(folded.folded[start:end]) and not _is_technical(folded, start, end):
            yield mapped.start() if mapped else start, end
    for match in _IPV6.finditer(folded.folded):
        start = match.start() - 4
        if _is_public(folded.folded[start : match.end()]) and not _names_machine(_before(folded.text, start)):
            yield start, match.end()


def _before(text: str, start: int) -> str:
    return text[max(start - _BEFORE, 0) : start].lower()


def _is_public(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (
        found.is_global
        and not found.is_multicast
        and found not in _services()
        and not any(found in block for block in _NO_HOSTS)
    )


_NO_HOSTS = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("128.0.0.0/32"))
"""Documentation addresses that Python 3.11 does not know yet (RFC 9637), and the one netmask that is not a
reserved address."""


def _is_technical(folded: Folded, start: int, end: int) -> bool:
    """True for a version or section number, and for the address of a machine or network."""
    before = _before(folded.text, start)
    if _VERSION_BEFORE.search(before) or _pattern("version_words").search(before) or _names_machine(before):
        return True
    pinned = _PIN_BEFORE.search(before)
    names_address = _pattern("address_words").search(pinned["name"] if pinned else before)
    if pinned or names_address:
        return not names_address
    low = all(int(number) < VERSION_LIMIT for number in folded.folded[start:end].split("."))
    return low and not _ADDRESS_AROUND.search(before) and not _PORT_OR_PREFIX.match(folded.text, end)


def _names_machine(before: str) -> bool:
    return _pattern("machine_words").search(before) is not None


@cache
def _pattern(words: str) -> re.Pattern[str]:
    """Return a pattern for one of the words at the end of a text, with a separator."""
    alternatives = "|".join(map(re.escape, sorted(_data()[words], key=len, reverse=True)))
    return re.compile(rf"(?:(?<![\w<])|(?<=_))(?:{alternatives}){_SEPARATOR}")


@cache
def _services() -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return frozenset(map(ipaddress.ip_address, _data()["services"]))


@cache
def _data() -> dict[str, Any]:
    return read_toml("pipeline.filters.pii", "data/ip_addresses.toml")
