"""Find e-mail addresses in text, also as ``name [at] host [dot] org``.

Not found: addresses that identify no person (reserved domains, placeholders, roles such as *noreply*), and
what only looks like an address: logins of URLs, ``ssh`` and ``scp``, and names whose last part is not a
top-level domain, such as ``query@key.transpose`` in code. ``name at host dot org`` without brackets cannot be
distinguished from prose.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from core.resources import read_text, read_toml
from pipeline.filters.pii.folding import Folded, Span

MAX_LOCAL_PART = 64

_AT = (
    re.compile("@"),
    re.compile(r"\( ?(?:at|At|AT|@|arroba) ?\) {0,2}"),
    re.compile(r" AT (?=[A-Za-z0-9-]{1,63} DOT )"),
)
_DOT = re.compile(r"\.| ?\( ?(?:dot|Dot|DOT|punkt|punto|\.) ?\) ?| DOT ")
_NAME = "(?:[A-Za-z0-9é](?:[A-Za-z0-9é-]{0,61}[A-Za-z0-9é])?|¤{1,63})"
_TOP_LEVEL = (
    "(?:xn--[a-z0-9-]{2,59}|[a-z]{2,24}(?![a-z0-9_@ß])|"
    r"(?:[A-Z]{2,24}|[A-Z][a-z]{1,2}|é{2,24})(?![\w@])|¤{1,24})"
)
_DOMAIN = re.compile(f"(?:{_NAME}(?:{_DOT.pattern})){{1,8}}{_TOP_LEVEL}")
_LOCAL_PART_BACKWARDS = re.compile(
    r"""(?:[A-Za-z0-9_é+%-](?:[A-Za-z0-9_é+%-]|[.'](?![.'])){0,62})?[A-Za-z0-9_é](?!\w)|"[^"\nß]{1,62}"|¤{1,64}"""
)
_NOT_IN_NAMES = re.compile(r"\+.*|[._-]")
"""What does not count in the comparison with roles: a tag after a plus sign, and separators."""

_BEFORE_LOGIN = 80
"""Characters before an address that are searched for a URL's scheme or a command."""
_URL_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/@<>\"']*$")
_REMOTE_PATH = re.compile(r"::?(?:[~/]|[\w.-]+/|[\w-]+\.[A-Za-z0-9]{1,6}\b(?!@))|[$#] ")
"""After a login: a path on the host, as in ``scp`` and ``git clone``; or the prompt of a shell."""
_ALSO_BEFORE_PARENTHESIS = frozenset(("com", "edu", "gov", "net", "org"))
"""Top-level domains that cannot be a method that is called."""


def find(folded: Folded) -> Iterator[Span]:
    """Yield start and end of every address of a person."""
    for at in (at for sign in _AT for at in sign.finditer(folded.shape)):
        matched = _DOMAIN.match(folded.shape, at.end())
        if not matched:
            continue
        end = _domain_end(folded.text, matched)
        before = folded.shape[max(at.start() - MAX_LOCAL_PART - 2, 0) : at.start()]
        gap = len(before) - len(before.rstrip(" ")) if at[0].startswith("(") else 0
        local = _LOCAL_PART_BACKWARDS.match(before[::-1], gap)
        if not local or end == at.end():
            continue
        start = at.start() - local.end()
        name, domain = folded.folded[start : at.start() - gap], folded.shape[at.end() : end]
        if not _names_no_person(name, domain) and not _is_login(folded.text, start, end):
            yield start, end


def _domain_end(text: str, matched: re.Match[str]) -> int:
    """Return the end of the longest domain with a top-level domain in use; the start if there is none.

    Top-level domains in other scripts than Latin are not looked up.
    """
    shape = matched.string
    dots = [dot.span() for dot in _DOT.finditer(shape, *matched.span())]
    starts, ends = [end for _, end in dots], [start for start, _ in dots[1:]] + [matched.end()]
    for start, end in zip(reversed(starts), reversed(ends), strict=True):
        label = shape[start:end].lower()
        called = text.startswith("(", end) and label not in _ALSO_BEFORE_PARENTHESIS
        if not called and (label in _top_level_domains() or label.startswith("xn--") or not label.isascii()):
            return end
    return matched.start()


def _names_no_person(name: str, domain: str) -> bool:
    """True for reserved domains, roles and placeholders."""
    data = _data()
    *_, second_level, top_level = _DOT.sub(".", domain).lower().split(".")
    role = _NOT_IN_NAMES.sub("", name.lower())
    return (
        top_level in data["reserved_top_level"]
        or second_level in data["placeholder_domains"]
        or role in data["placeholder_names"]
        or role in data["roles"]
    )


def _is_login(text: str, start: int, end: int) -> bool:
    """True for the user and host of a URL, of a remote path, or of a command such as ``ssh``."""
    before = text[max(start - _BEFORE_LOGIN, 0) : start]
    return bool(
        _REMOTE_PATH.match(text, end) or _URL_SCHEME.search(before) or _login_command().search(before)
    )


@cache
def _login_command() -> re.Pattern[str]:
    """Return a pattern for a command and its options, each with at most one value."""
    commands = "|".join(map(re.escape, _data()["login_commands"]))
    return re.compile(rf"(?<![\w./-])(?:{commands})(?: +-[\w-]+(?:[ =][^\s-][^\s@]*)?)* +$")


@cache
def _top_level_domains() -> frozenset[str]:
    lines = read_text("pipeline.filters.pii", "data/top_level_domains.txt").splitlines()
    known = " ".join(line for line in lines if not line.startswith("#"))
    return frozenset((*known.split(), *_data()["reserved_top_level"]))


@cache
def _data() -> dict[str, Any]:
    return read_toml("pipeline.filters.pii", "data/emails.toml")
