"""Superscripts and subscripts as plain text: ``10^-7``, ``x_1``; but ``H2O``, ``3rd`` and ``[1]``.

Without a mark, "10" with the exponent "2" would read as another number.
"""

import re

from selectolax.lexbor import LexborNode

MAX_LENGTH = 24
"""Characters of the longest exponent or index that is recognized as one."""
BASE_LENGTH = 12
"""Number of preceding characters that are considered."""

_MAX_NODES = 8
_OPERATORS = "+\\-−–±/*·,.()"
_TERM = re.compile(rf"[\w{_OPERATORS}]+")
_SIGNED = re.compile(r"[+\-−–±]\w")
_SUM = re.compile(r"\w+[+\-−–/*·]\w+")
_ABBREVIATION = frozenset("adehorstª°º")
"""Letters that are raised in ordinals and abbreviations, such as French "1e" and "no"."""
_VARIABLE = re.compile(r"(?:^|[\W\d_])[^\W\d_]$")
"""Matches text that ends in a single letter."""
_PRICE = re.compile(r"[$€£¥]\s?\d[\d,.]*$")
_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr "
    "Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta "
    "W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm D"
)
_CHEMICAL = re.compile(rf"(?:(?<![a-z])(?:{'|'.join(_SYMBOLS.split())})|\b[A-Z]{{2,}})\d*\)?$")
"""Matches text that ends in a chemical symbol or an acronym: the index is written without a mark."""


def mark(tag: str, base: str, content: str, following: str) -> str:
    """Return what separates a superscript (``sup``) or subscript from the text that it follows directly.

    ``base`` is the end of the text before, ``content`` the text of the element, ``following`` the start of
    the text after it.
    """
    last = base[-1:]
    if not content or not (last.isalnum() or last in (")", "]", "}")):
        return ""
    if tag == "sup":
        if content.isdecimal() and last.isdecimal() and following[:1] in ("/", "⁄", "∕"):
            return " "  # a mixed number, such as 1 1/2
        if len(content) == 2 and content.isdecimal() and _PRICE.search(base):
            return "."
        if _is_exponent(base, content):
            return "^"
    elif _is_index(base, content):
        return "_"
    return " " if last.isalnum() and " " in content and content[0].isalnum() else ""


def short_text(node: LexborNode) -> str:
    """Return the text of an element if it is short, without visiting more than a few nodes; else nothing."""
    text, nodes = "", [node.first_child]
    for _ in range(_MAX_NODES):
        if not nodes:
            return text.strip()
        child = nodes.pop()
        if child is not None:
            text += child.text_content or ""
            nodes += [child.next, child.first_child]
        if len(text) > MAX_LENGTH:
            break
    return ""


def _is_exponent(base: str, content: str) -> bool:
    if not _TERM.fullmatch(content) or content[0] == "(":
        return False
    if any(map(str.isdigit, content)) or _SIGNED.match(content) or _SUM.fullmatch(content):
        return True
    is_letter = len(content) == 1 and content.isalpha() and content.lower() not in _ABBREVIATION
    return is_letter and (base[-1].isdecimal() or bool(_VARIABLE.search(base)))


def _is_index(base: str, content: str) -> bool:
    if not _TERM.fullmatch(content):
        return False
    if content[0].isdigit():
        return base[-1].isdecimal() or not _CHEMICAL.search(base)
    return content[0].isalpha() and bool(_VARIABLE.search(base))
