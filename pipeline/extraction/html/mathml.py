"""MathML on one line of plain text, such as ``E = mv^2/2``, for formulas without TeX source."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from selectolax.lexbor import LexborNode

_MAX_DEPTH = 50
"""Elements nested deeper are written as their plain text."""
_SPACED = frozenset("=<>≤≥≠≈≡∼≃≅∝∈∉⊂⊆⊃⊇→←↔⇒⇐⇔↦∣∧∨+−±∓-×≪≫∪∩")
"""Operators between blanks."""
_SIGNS = frozenset("+-−±∓")
"""Operators that are signs if no operand stands before them."""
_SCRIPT = re.compile(r"[_^](?:\w+|\([^()]*\))$")
_MAX_SCRIPT = 40
_INVISIBLE = dict.fromkeys(map(ord, "\u2061\u2062\u2063\u2064\u200b"))
_PRIMES = frozenset("'′″‴*†∗")
"""Superscripts that are written without a mark."""
_ACCENTS: Mapping[str, str] = {
    **dict.fromkeys("¯‾‒–", "\u0304"),
    **dict.fromkeys("^ˆ", "\u0302"),
    **dict.fromkeys("~˜", "\u0303"),
    **dict.fromkeys("→⃗", "\u20d7"),
    **{"˙": "\u0307", ".": "\u0307", "¨": "\u0308", "´": "\u0301", "`": "\u0300"},
}
"""Accents above a letter, and the combining characters that stand for them."""
_OMITTED = frozenset(
    ("annotation", "annotation-xml", "mphantom", "none", "mprescripts", "malignmark", "maligngroup")
)
_TOKENS = frozenset(("mi", "mn", "mo", "mtext", "ms"))
_SCRIPTED = frozenset(("msup", "msub", "msubsup"))


def local_name(node: LexborNode) -> str:
    """Return an element's name without a namespace prefix; HTML parsers take prefixes as part of the name."""
    return (node.tag or "").rpartition(":")[2]


def linear(node: LexborNode) -> str:
    """Return a ``math`` element as text on one line."""
    return " ".join(_write(node, 0).split())


def _children(node: LexborNode) -> Iterator[LexborNode]:
    child = node.first_child
    while child is not None:
        if child.is_element_node and local_name(child) not in _OMITTED:
            yield child
        child = child.next


def _write(node: LexborNode, depth: int) -> str:
    name = local_name(node)
    if name in _TOKENS or depth > _MAX_DEPTH:
        return _token(name, " ".join(node.text(deep=True).split()).translate(_INVISIBLE))
    if name == "mspace":
        return " "
    children = list(_children(node))
    texts = [_write(child, depth + 1) for child in children]
    if name == "mfenced":
        return _fenced(node.attributes, texts)
    if children and name in _WITH_BASE and local_name(children[0]) not in _SCRIPTED:
        texts[0] = _atom(texts[0])
    return _WRITERS.get(name, _row)(texts)


def _token(name: str, text: str) -> str:
    if name == "mtext" or (len(text) > 1 and text.isalpha()) or text in _SPACED:
        return f" {text} "  # words, names of functions, operators
    return f'"{text}"' if name == "ms" else text


def _row(texts: Sequence[str]) -> str:
    row = ""
    for text in texts:
        if text.strip() in _SIGNS and (not row or row[-1] in "([{,; "):
            row += text.strip()
        else:
            is_after_script = text[:1].isalnum() and _SCRIPT.search(row[-_MAX_SCRIPT:])
            row += f" {text}" if is_after_script else text
    return row


def _atom(text: str) -> str:
    """Return an operand, in parentheses unless it is a number, a name or a group."""
    text = text.strip()
    bare = text.lstrip("+-−").replace(".", "")
    is_group = text[:1] in ("(", "[", "{", "|") and text[-1:] in (")", "]", "}", "|")
    return text if bare.isdecimal() or bare.isalpha() or len(bare) <= 1 or is_group else f"({text})"


def _scripted(marks: str) -> "Writer":
    """Return a writer of a base with scripts, each after its mark."""

    def write(texts: Sequence[str]) -> str:
        found = texts[0].strip() if texts else ""
        for mark, script in zip(marks, map(_atom, texts[1:]), strict=False):
            if script:
                found += script if script in _PRIMES else mark + script
        return found

    return write


def _over(texts: Sequence[str]) -> str:
    accent = texts[1].strip() if len(texts) == 2 else ""
    if accent in _ACCENTS:
        base = texts[0].strip("() ")
        return base + _ACCENTS[accent] if len(base) == 1 else base
    return _scripted("^")(texts)


def _fraction(texts: Sequence[str]) -> str:
    return "/".join(map(_atom, texts[:2]))


def _square_root(texts: Sequence[str]) -> str:
    return f"√{_atom(_row(texts))}"


def _root(texts: Sequence[str]) -> str:
    return f"{_atom(texts[0])}^(1/{_atom(texts[1])})" if len(texts) > 1 else _square_root(texts)


def _listed(separator: str) -> "Writer":
    return lambda texts: separator.join(text for each in texts if (text := each.strip()))


def _fenced(attributes: Mapping[str, str | None], texts: Sequence[str]) -> str:
    opening, closing = attributes.get("open", "(") or "", attributes.get("close", ")") or ""
    separator = (attributes.get("separators", ",") or "")[:1]
    return f"{opening}{_listed(separator and separator + ' ')(texts)}{closing}"


def _first(texts: Sequence[str]) -> str:
    return texts[0] if texts else ""


Writer = Callable[[Sequence[str]], str]
_WITH_BASE: Mapping[str, Writer] = {
    "msup": _scripted("^"),
    "msub": _scripted("_"),
    "msubsup": _scripted("_^"),
    "munder": _scripted("_"),
    "mover": _over,
    "munderover": _scripted("_^"),
    "mmultiscripts": _scripted("_^" * 8),
}
_WRITERS: Mapping[str, Writer] = {
    **_WITH_BASE,
    "semantics": _first,
    "maction": _first,
    "mfrac": _fraction,
    "msqrt": _square_root,
    "mroot": _root,
    "mtable": _listed("; "),
    "mtr": _listed(", "),
    "mlabeledtr": lambda texts: _listed(", ")(texts[1:]),
}
