"""Find numbers of payment cards (by issuer, length and Luhn checksum) and IBANs (ISO 13616) in text.

Not found: numbers published for tests and examples, where the text introduces them as such: "test card
4111 …". Elsewhere they are found: the text may mean a card or an account by them.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from core.resources import read_toml
from pipeline.filters.pii.folding import Folded, Span

_CARD = re.compile(r"[2-6](?<![\w.,-].)(?!(?<=[0-9]{4} .)[0-9]{3} )(?=((?:[ -]?[0-9]){13,18}))")
_CARD_ENDS = re.compile(r"(?!\w|[-.,][0-9])")
_CARD_IN_FOURS_ENDS = re.compile(r"(?!\w|[-.,][0-9]| [0-9]{4}(?![0-9]))")
"""Not followed by another group of four digits."""
_IBAN = re.compile(r"00(?<=[A-Za-z]{2}00)(?<![\w-]..00)(?=((?:[ -]?[0-9A-Za-z]){11,31}))")

_BEFORE_TEST_NUMBER = 48
"""Characters before a published number, on its line, that are searched for a word such as *test*."""
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)?")
_REPEATED = re.compile(r"([0-9]{4})\1{3}")


def find_cards(folded: Folded) -> Iterator[Span]:
    """Yield isolated numbers with the prefix and length of an issuer and a valid Luhn checksum."""
    numeric = folded.numeric
    for first, last in folded.runs:
        for match in _CARD.finditer(numeric, first, last):
            indices = [index for index in range(match.start(), match.end(1)) if numeric[index].isdigit()]
            digits = "".join(numeric[index] for index in indices)
            ends = _CARD_IN_FOURS_ENDS if numeric[indices[4] - 1] == " " else _CARD_ENDS
            for length in sorted(_card_lengths(digits), reverse=True):
                end = indices[min(length, len(indices)) - 1] + 1
                if len(digits) >= length and ends.match(numeric, end) and _luhn(digits[:length]):
                    if not _is_test_number("cards", digits[:length], folded.text, match.start()):
                        yield match.start(), end
                    break


def _card_lengths(digits: str) -> set[int]:
    """Return the possible lengths of a card number with this prefix; empty if no issuer has it."""
    return {
        length
        for issuer in _data("card_issuers.toml")["issuer"]
        for first, last in issuer["prefixes"]
        if first <= digits[: len(first)] <= last
        for length in issuer["digits"]
    }


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def find_ibans(folded: Folded) -> Iterator[Span]:
    """Yield codes with the length of the country's IBANs whose value modulo 97 is 1."""
    numeric = folded.numeric
    for match in _IBAN.finditer(folded.shape):
        start = match.start() - 2
        indices = [index for index in range(start, match.end(1)) if numeric[index].isalnum()]
        length = _data("iban_lengths.toml").get(numeric[start : start + 2].upper(), 0)
        if not length or len(indices) < length:
            continue
        end = indices[length - 1] + 1
        code = "".join(numeric[index] for index in indices[:length])
        value = int("".join(str(int(character, 36)) for character in code[4:] + code[:4]))
        valid = value % 97 == 1 and not numeric[end : end + 1].isalnum()
        if valid and not _is_test_number("ibans", code.upper(), folded.text, start):
            yield start, end


def _is_test_number(kind: str, number: str, text: str, start: int) -> bool:
    """True for a published number after a word such as *test*, and for four digits repeated four times."""
    data = _data("test_numbers.toml")
    if number not in data[kind]:
        return False
    line = text[max(start - _BEFORE_TEST_NUMBER, 0) : start].rpartition("\n")[2].lower()
    return bool(_REPEATED.fullmatch(number)) or not set(_WORD.findall(line)).isdisjoint(data["words"])


@cache
def _data(name: str) -> dict[str, Any]:
    return read_toml("pipeline.filters.pii", f"data/{name}")
