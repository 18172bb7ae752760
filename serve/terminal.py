"""Make untrusted text safe to print on a terminal."""

_REPLACEMENTS = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}  # symbols for controls
    | {0x7F: "\u2421"}
    | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], "\ufffd")
    | dict.fromkeys([0x200E, 0x200F, 0x061C, *range(0x2028, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
)
"""Control characters (C0, C1, delete), lone surrogates, and characters that change the text direction."""


def escape_controls(text: str) -> str:
    """Replace control characters, other than line feeds and tabs, so that a terminal executes none."""
    return text.translate(_REPLACEMENTS)
