"""Split text into tokens by the rules of spaCy's English tokenizer.

datatrove counts words with that tokenizer, and the thresholds of published recipes refer to its counts. Text
is first split at white space into segments. A segment of letters is one token, as are listed exceptions
(``e.g.``). From other segments, prefixes and suffixes are split off until an exception or none is left; the
rest is split at infixes (``either-or``) unless it is a URL or an e-mail address. Finally, adjacent tokens
that form an exception are merged (Honnibal et al. 2020, spaCy; the data of the rules is in ``words.toml``).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import accumulate
from typing import Any

from core.resources import read_toml

MAX_LENGTH = 10_000
"""Maximum length in characters of a segment that is split; a longer one, most likely data, is one token."""

MAX_SUFFIX = 8
"""Upper bound for the length of a suffix in characters, except for runs of full stops."""


@lru_cache(maxsize=1 << 18)
def token_lengths(segment: str) -> tuple[int, ...]:
    """Return the length of each token of a segment (text without white space), in order.

    The lengths add up to that of the segment.
    """
    return _rules().token_lengths(segment) if len(segment) <= MAX_LENGTH else (len(segment),)


def exceptions() -> list[str]:
    """Return the segments that are listed with their tokens, regardless of the rules."""
    return list(_rules().exceptions)


@cache
def lowercase_letter() -> re.Pattern[str]:
    """Return a pattern for a lower-case letter, or a letter of a script without case."""
    return re.compile(_alternatives(_cased()[0]))


@cache
def letter() -> re.Pattern[str]:
    """Return a pattern for a letter that the rules list: Latin, Greek, Cyrillic, many uncased scripts."""
    return re.compile(_alternatives("".join(_cased())))


@dataclass(frozen=True)
class _Rules:
    exceptions: dict[str, tuple[int, ...]]
    prefix: re.Pattern[str]
    suffix: re.Pattern[str]
    infix: re.Pattern[str]
    address: re.Pattern[str]
    user_address: re.Pattern[str]
    """An address with a user name."""

    def token_lengths(self, segment: str) -> tuple[int, ...]:
        """Return the length of each token of the segment."""
        if segment in self.exceptions:
            return self.exceptions[segment]
        return tuple(self._merge_exceptions(segment, self._split_segment(segment, self.exceptions)))

    def _split_segment(self, segment: str, exceptions: Mapping[str, tuple[int, ...]]) -> list[int]:
        before, start, end, after = self._strip(segment, exceptions)
        core = segment[start:end]
        middle: Iterable[int] = (len(core),) if core else ()
        if core in exceptions:
            middle = exceptions[core]
        elif core and not self._is_address(core):
            middle = self._split_infixes(core)
        return [*before, *middle, *reversed(after)]

    def _is_address(self, core: str) -> bool:
        if "." not in core:
            return False
        return bool(self.address.match(core) or ("@" in core and self.user_address.match(core)))

    def _strip(
        self, segment: str, exceptions: Mapping[str, tuple[int, ...]]
    ) -> tuple[list[int], int, int, list[int]]:
        """Return the lengths of the prefixes, start and end of the rest, and the lengths of the suffixes."""
        before: list[int] = []
        after: list[int] = []
        start, end = 0, len(segment)
        while start < end and (rest := segment[start:end]) not in exceptions:
            found = self.prefix.match(rest)
            front = len(found[0]) if found else 0
            if front and rest[front:] in exceptions:
                before.append(front)
                return before, start + front, end, after
            back = self._suffix_length(rest[front:])
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

    def _suffix_length(self, rest: str) -> int:
        """Return the length of the suffix to split off, or 0. Reads only the end, runs of dots aside."""
        found = self.suffix.search(rest, 0 if rest.endswith("..") else max(len(rest) - MAX_SUFFIX, 0))
        return len(found[0]) if found else 0

    def _split_infixes(self, core: str) -> list[int]:
        lengths, start = [], 0
        for found in self.infix.finditer(core):
            if found.start() == 0:
                continue
            lengths += [found.start() - start, found.end() - found.start()]
            start = found.end()
        return [length for length in (*lengths, len(core) - start) if length]

    def _merge_exceptions(self, segment: str, lengths: list[int]) -> Iterator[int]:
        """Merge adjacent tokens that form an exception, the longest first, from left to right."""
        edges = [0, *accumulate(lengths)]
        index = 0
        while index < len(lengths):
            limit = self._max_tokens_by_first.get(segment[edges[index] : edges[index + 1]], 1)
            for after in range(min(index + limit, len(lengths)), index + 1, -1):
                word = segment[edges[index] : edges[after]]
                if self._split_exceptions.get(word) == lengths[index:after]:
                    yield from self.exceptions[word]
                    index = after
                    break
            else:
                yield lengths[index]
                index += 1

    @cached_property
    def _split_exceptions(self) -> dict[str, list[int]]:
        """The exceptions that the rules would split, with the token lengths that the rules give."""
        by_rules = {word: self._split_segment(word, {}) for word in self.exceptions}
        return {word: lengths for word, lengths in by_rules.items() if len(lengths) > 1}

    @cached_property
    def _max_tokens_by_first(self) -> dict[str, int]:
        """The maximum number of tokens of those exceptions, by their first token."""
        limits: dict[str, int] = {}
        for word, lengths in self._split_exceptions.items():
            first = word[: lengths[0]]
            limits[first] = max(limits.get(first, 0), len(lengths))
        return limits


@cache
def _rules() -> _Rules:
    """Compile the rules, once per process, in 0.3 s.

    Patterns match the sign first and its context by lookaround afterwards, which is faster.
    """
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
        user_address=re.compile(rf"(?:[\w+\-.]{{2,}}://)?\S+@{host}"),
    )


def _alternatives(characters: str) -> str:
    """Return a class in two parts: ``re`` looks up characters up to U+FFFF and tries others one by one."""
    ranges = re.findall(r"\\?.-\\?.|\\?.", characters)
    basic = "".join(each for each in ranges if each[-1] <= "\uffff")
    return f"(?:[{basic}]|[{''.join(each for each in ranges if each[-1] > chr(0xFFFF))}])"


def _data() -> dict[str, Any]:
    return read_toml("pipeline.analysis", "words.toml")


@cache
def _cased() -> tuple[str, str]:
    """Return the classes of lower- and upper-case letters; letters of scripts without case are in both."""
    signs = _data()["characters"]
    alternating = [chr(code) for first, last in signs["alternating"] for code in range(first, last + 1)]
    uncased = "".join(f"{chr(first)}-{chr(last)}" for first, last in signs["uncased"])
    lower = "".join(character for character in alternating if not character.isupper())
    upper = "".join(character for character in alternating if character.isupper())
    return signs["lower"] + lower + uncased, signs["upper"] + upper + uncased


def _icons(signs: dict[str, Any]) -> str:
    ranges = [each.partition("-") for each in signs["icons"].split()]
    return "".join(f"{chr(int(first, 16))}-{chr(int(last or first, 16))}" for first, _, last in ranges)


def _exceptions(data: dict[str, Any]) -> Iterable[tuple[str, tuple[int, ...]]]:
    words = data["words"]
    for word in words["whole"].split():
        yield word, (len(word),)
    for hour in range(1, 13):
        for suffix in words["hours"].split():
            yield f"{hour}{suffix}", (len(str(hour)), len(suffix))
    for entry in words["split"].split():
        parts = entry.split("|")
        yield "".join(parts), tuple(map(len, parts))
    contractions = data["contractions"]
    not_bare = set(contractions.pop("not_bare").split())
    for ending, stems in contractions.items():
        for stem in stems.split():
            parts = [stem, *ending.split()]
            yield from _with_capitalized(parts)
            yield from _with_capitalized([part.replace("'", "’") for part in parts])
            bare = [part.replace("'", "") for part in parts]
            if "".join(bare) not in not_bare:
                yield from _with_capitalized(bare)


def _with_capitalized(parts: list[str]) -> Iterable[tuple[str, tuple[int, ...]]]:
    word, lengths = "".join(parts), tuple(map(len, parts))
    yield word, lengths
    yield word[0].upper() + word[1:], lengths
