"""Normalization of all extracted text: no invisible characters, one spelling per character, clean lines."""

import re
import unicodedata

_LINE_BREAKS = "\r\v\f\x1c-\x1e\x85\u2028\u2029"
_INVISIBLE = "\0-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_LINE_BREAK, _SPACE = re.compile(f"[{_LINE_BREAKS}]"), re.compile(f"[{_SPACES}]")
_REPLACED = re.compile(f"[{_LINE_BREAKS}{_INVISIBLE}{_SPACES}]")
_BLANK_LINES = re.compile(r"\n{3,}")


def normalize(text: str) -> str:
    """Return the text in its published form.

    Control characters, soft hyphens, lone surrogates and noncharacters are removed. Every line break is
    ``\\n`` and every space an ASCII space; indentation is kept. Lines have no trailing blanks, and at most
    one blank line separates paragraphs. Unicode is in NFC: canonically equivalent spellings look the same, so
    duplicates must have one hash and a model should see one form. The compatibility forms (NFKC) would lose
    meaning, such as that of superscripts.
    """
    text = text.replace("\r\n", "\n")
    for character in dict.fromkeys(_REPLACED.findall(text)):  # few distinct ones
        text = text.replace(character, _replacement(character))
    text = unicodedata.normalize("NFC", text)
    # Not a regular expression: it would retry a long run of blanks from each position in it.
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")


def _replacement(character: str) -> str:
    return "\n" if _LINE_BREAK.match(character) else " " if _SPACE.match(character) else ""


def single_line(text: str) -> str:
    """Return a title normalized and on one line."""
    return " ".join(normalize(text).split())
