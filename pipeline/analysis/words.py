"""Where the words of a text begin and end, by the rules of spaCy's English tokenizer.

datatrove counts words by that tokenizer, and the figures of published recipes are in its words. What white
space separates is a piece. A piece of letters alone is one token, as are listed exceptions (``e.g.``); from
others signs are taken off at both ends until an exception or nothing more is found, and what is left is split
at signs within (``either-or``), if it is no address. Last, tokens in a row that make an exception are put
together again (Honnibal et al. 2020, spaCy; the rules' data in ``words.toml``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import accumulate
from typing import Any

from core.resources import read_toml

LONGEST = 10_000
"""Characters of a piece that is looked into; a longer one (data, not language) is one token."""

LONGEST_SUFFIX = 8
"""Characters that the longest of what comes off the back has, or more; runs of full stops aside."""


@lru_cache(maxsize=1 << 18)
def token_lengths(piece: str) -> tuple[int, ...]:
    """Characters of each token of a piece (text without white space), in order; their sum is its length."""
    return _rules().lengths(piece) if len(piece) <= LONGEST else (len(piece),)


def exceptions() -> list[str]:
    """The pieces that are listed, whatever the rules would make of them."""
    return list(_rules().exceptions)


@cache
def small_letter() -> re.Pattern[str]:
    """A small letter, or one of a script without capitals."""
    return re.compile(_alternatives(_cased()[0]))


@cache
def letter() -> re.Pattern[str]:
    """A letter that the rules know: of Latin, Greek, Cyrillic and many scripts without capitals."""
    return re.compile(_alternatives("".join(_cased())))


@dataclass(frozen=True)
class _Rules:
    exceptions: dict[str, tuple[int, ...]]
    prefix: re.Pattern[str]
    suffix: re.Pattern[str]
    infix: re.Pattern[str]
    address: re.Pattern[str]
    owned_address: re.Pattern[str]
    """One with a user's name."""

    def lengths(self, piece: str) -> tuple[int, ...]:
        """Of the piece's tokens."""
        if piece in self.exceptions:
            return self.exceptions[piece]
        return tuple(self._joined(piece, self._tokens(piece, self.exceptions)))

    def _tokens(self, piece: str, exceptions: Mapping[str, tuple[int, ...]]) -> list[int]:
        before, start, end, after = self._strip(piece, exceptions)
        core = piece[start:end]
        middle: Iterable[int] = (len(core),) if core else ()
        if core in exceptions:
            middle = exceptions[core]
        elif core and not self._is_address(core):
            middle = self._split(core)
        return [*before, *middle, *reversed(after)]

    def _is_address(self, core: str) -> bool:
        if "." not in core:
            return False
        return bool(self.address.match(core) or ("@" in core and self.owned_address.match(core)))

    def _strip(
        self, piece: str, exceptions: Mapping[str, tuple[int, ...]]
    ) -> tuple[list[int], int, int, list[int]]:
        """Lengths of what comes off the front; where the rest begins and ends; what comes off the back."""
        before: list[int] = []
        after: list[int] = []
        start, end = 0, len(piece)
        while start < end and (rest := piece[start:end]) not in exceptions:
            found = self.prefix.match(rest)
            front = len(found[0]) if found else 0
            if front and rest[front:] in exceptions:
                before.append(front)
                return before, start + front, end, after
            back = self._suffix(rest[front:])
            if back and rest[:-back] in exceptions:
                after.append(back)
                return before, start, end - back, after
            if front + back > len(rest):
                back = 0
            if front:
                before.append(front)
            if back:
                after.append(back)
            if not front and not back:
                break
            start, end = start + front, end - back
        return before, start, end, after

    def _suffix(self, rest: str) -> int:
        """Characters that come off the back. Few but for full stops in a row: else only the end is read."""
        found = self.suffix.search(rest, 0 if rest.endswith("..") else max(len(rest) - LONGEST_SUFFIX, 0))
        return len(found[0]) if found else 0

    def _split(self, core: str) -> list[int]:
        lengths, start = [], 0
        for found in self.infix.finditer(core):
            if found.start() == 0:
                continue
            lengths += [found.start() - start, found.end() - found.start()]
            start = found.end()
        return [length for length in (*lengths, len(core) - start) if length]

    def _joined(self, piece: str, lengths: list[int]) -> Iterator[int]:
        """The tokens, but exceptions of several tokens as they are listed: the longest from the left on."""
        edges = [0, *accumulate(lengths)]
        place = 0
        while place < len(lengths):
            most = self._joined_from.get(piece[edges[place] : edges[place + 1]], 1)
            for after in range(min(place + most, len(lengths)), place + 1, -1):
                word = piece[edges[place] : edges[after]]
                if self._apart.get(word) == lengths[place:after]:
                    yield from self.exceptions[word]
                    place = after
                    break
            else:
                yield lengths[place]
                place += 1

    @cached_property
    def _apart(self) -> dict[str, list[int]]:
        """The exceptions that would be several tokens by the rules, and which."""
        ruled = {word: self._tokens(word, {}) for word in self.exceptions}
        return {word: lengths for word, lengths in ruled.items() if len(lengths) > 1}

    @cached_property
    def _joined_from(self) -> dict[str, int]:
        """How many tokens those exceptions have at most, by their first."""
        most: dict[str, int] = {}
        for word, lengths in self._apart.items():
            first = word[: lengths[0]]
            most[first] = max(most.get(first, 0), len(lengths))
        return most


@cache
def _rules() -> _Rules:
    """Compiled once per process, in 0.3 s. Signs come before what must surround them, which is slow."""
    data = _data()
    signs = data["characters"]
    lower, upper = map(_alternatives, _cased())
    letters = f"(?:{lower}|{upper})"
    marks, quotes, icons = f"[{signs['punctuation']}]", f"[{signs['quotes']}]", _alternatives(_icons(signs))
    before_point = f"(?:[0-9%²+\\-{signs['punctuation']}{signs['quotes']}]|{lower})"
    prefixes = rf"[§%=—–]|\+(?![0-9])|{marks}|\.\.+|{quotes}|{signs['currency']}|{icons}"
    suffixes = (
        rf"……|{marks}|\.\.+|{quotes}|['’][sS]|[—–]|\+(?<=[0-9]\+)|\.(?<=°[FfCcKk]\.)"
        rf"|(?<=[0-9])(?:{signs['currency']}|{'|'.join(signs['units'])})"
        rf"|\.(?:(?<={before_point}\.)|(?<={upper}{upper}\.))|{icons}"
    )
    infixes = (
        rf"\.\.+|…|[+\-*^](?<=[0-9].)(?=[0-9-])"
        rf"|\.(?<=(?:{quotes}|{lower})\.)(?=(?:{quotes}|{upper}))"
        rf"|,(?<={letters},)(?={letters})"
        rf"|[-–—~:<>=/](?<=(?:[0-9]|{letters}).)(?={letters})"
        rf"|(?:--|——)(?<=(?:[0-9]|{letters})..)(?={letters})|---(?<=(?:[0-9]|{letters})...)(?={letters})"
        rf"|{icons}"
    )
    host = (
        r"(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
        r"|(?:(?:[A-Za-z0-9\u00a1-\uffff][A-Za-z0-9\u00a1-\uffff_-]{0,62})?[A-Za-z0-9\u00a1-\uffff]\.)+"
        rf"{lower}{{2,63}})(?::\d{{2,5}})?(?:[/?#]\S*)?$"
    )
    return _Rules(
        exceptions=dict(_exceptions(data)),
        prefix=re.compile(prefixes),
        suffix=re.compile(f"(?:{suffixes})$"),
        infix=re.compile(infixes),
        address=re.compile(rf"(?:[\w+\-.]{{2,}}://)?{host}"),
        owned_address=re.compile(rf"(?:[\w+\-.]{{2,}}://)?\S+@{host}"),
    )


def _alternatives(characters: str) -> str:
    """A class in two parts: characters of four hexadecimal digits are looked up, others tried one by one."""
    ranges = re.findall(r"\\?.-\\?.|\\?.", characters)
    basic = "".join(each for each in ranges if each[-1] <= "\uffff")
    return f"(?:[{basic}]|[{''.join(each for each in ranges if each[-1] > chr(0xFFFF))}])"


def _data() -> dict[str, Any]:
    return read_toml("pipeline.analysis", "words.toml")


@cache
def _cased() -> tuple[str, str]:
    """Classes of small and of capital letters; letters of scripts without case are in both."""
    signs = _data()["characters"]
    turns = [chr(code) for first, last in signs["alternating"] for code in range(first, last + 1)]
    uncased = "".join(f"{chr(first)}-{chr(last)}" for first, last in signs["uncased"])
    small = "".join(character for character in turns if not character.isupper())
    capital = "".join(character for character in turns if character.isupper())
    return signs["lower"] + small + uncased, signs["upper"] + capital + uncased


def _icons(signs: dict[str, Any]) -> str:
    ranges = [each.partition("-") for each in signs["icons"].split()]
    return "".join(f"{chr(int(first, 16))}-{chr(int(last or first, 16))}" for first, _, last in ranges)


def _exceptions(data: dict[str, Any]) -> Iterable[tuple[str, tuple[int, ...]]]:
    words = data["words"]
    for word in words["whole"].split():
        yield word, (len(word),)
    for hour in range(1, 13):
        for half in words["hours"].split():
            yield f"{hour}{half}", (len(str(hour)), len(half))
    for entry in words["split"].split():
        parts = entry.split("|")
        yield "".join(parts), tuple(map(len, parts))
    contractions = data["contractions"]
    not_bare = set(contractions.pop("not_bare").split())
    for ending, stems in contractions.items():
        for stem in stems.split():
            parts = [stem, *ending.split()]
            yield from _with_capital(parts)
            yield from _with_capital([part.replace("'", "’") for part in parts])
            bare = [part.replace("'", "") for part in parts]
            if "".join(bare) not in not_bare:
                yield from _with_capital(bare)


def _with_capital(parts: list[str]) -> Iterable[tuple[str, tuple[int, ...]]]:
    word, lengths = "".join(parts), tuple(map(len, parts))
    yield word, lengths
    yield word[0].upper() + word[1:], lengths
