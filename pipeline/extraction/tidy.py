"""What all extracted text has in common: no invisible rubbish, one spelling per character, tidy lines."""

import re
import unicodedata

_BREAKING = "\r\v\f\x1c-\x1e\x85\u2028\u2029"
_INVISIBLE = "\0-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff"
_WHITE = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_LINE_BREAK, _SPACE = re.compile(f"[{_BREAKING}]"), re.compile(f"[{_WHITE}]")
_UNTIDY = re.compile(f"[{_BREAKING}{_INVISIBLE}{_WHITE}]")
_BLANK_LINES = re.compile(r"\n{3,}")


def tidy(text: str) -> str:
    """The text in its published form.

    Control characters, soft hyphens, lone surrogates and noncharacters are removed, every line break is
    ``\\n``, every space one of ASCII's (indentation stays), lines have no trailing blanks, and at most one
    blank line separates paragraphs. Unicode is brought to NFC: canonically equal spellings look the same, so
    duplicates must meet under one hash and a model should not see two. The compatibility forms (NFKC) would
    lose meaning, such as that of superscripts.
    """
    text = text.replace("\r\n", "\n")
    for character in dict.fromkeys(_UNTIDY.findall(text)):  # few are different
        text = text.replace(character, _tidied(character))
    text = unicodedata.normalize("NFC", text)
    # A regular expression would try a long run of blanks from each of them.
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip("\n")


def _tidied(character: str) -> str:
    return "\n" if _LINE_BREAK.match(character) else " " if _SPACE.match(character) else ""


def one_line(text: str) -> str:
    """A title: tidied, on one line."""
    return " ".join(tidy(text).split())
