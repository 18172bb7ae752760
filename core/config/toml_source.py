"""Read configuration text: TOML files and ``--set`` overrides, as plain dictionaries.

What TOML rejects is reported with the mistake that most likely caused it.
"""

import codecs
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.errors import ConfigError

_KEY, _END = r"""^\s*[\w."'-]+\s*""", r"\s*(#.*)?$"
_PROBLEMS: Mapping[type[OSError], str] = {
    FileNotFoundError: "does not exist",
    IsADirectoryError: "is a directory",
    NotADirectoryError: "does not exist",
    PermissionError: "this user may not read it",
}
_QUOTED = re.compile(r"""["']|[\[{].*["']""")
"""Beginning of a quoted value, a list or a table with quotes: never a bare word."""
_BAD_ESCAPE = r""""[^"]*\\(?![btnfr"\\]|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8})"""
_MISTAKES: Sequence[tuple[re.Pattern[str], str]] = tuple(
    (re.compile(pattern), remedy)
    for pattern, remedy in (
        (rf"(?i){_KEY}=\s*(true|false|yes|no|on|off){_END}", "booleans are true or false in TOML"),
        (rf"(?i){_KEY}=\s*(none|null|nil){_END}", "TOML has no null; leave the key out"),
        (rf"{_KEY}=\s*\d{{1,3}}(,\d{{3}})+{_END}", "write 1_000, not 1,000"),
        (rf"{_KEY}=\s*[\d.]+\s*[A-Za-z]+{_END}", 'a size with a unit needs quotes: "128MiB"'),
        (rf"{_KEY}=\s*[\d.]+\s*%{_END}", "write a fraction, 0.01 for 1%"),
        (rf"{_KEY}={_END}", "the key needs a value"),
        (rf"{_KEY}:(\s|$)", "write key = value; the colon is YAML"),
        (_BAD_ESCAPE, "in double quotes \\ begins an escape; write paths with / or in single quotes"),
        (rf"{_KEY}=\s*[^\s\"'\[{{\d+-]", 'strings need quotes: key = "value"'),
    )
)
"""Mistakes that a single line shows, and what TOML has instead."""


def read(path: str) -> dict[str, Any]:
    """Parse a local TOML file in UTF-8, with or without a byte-order mark.

    Raises :class:`ConfigError` for a file that cannot be read, has another encoding or is not TOML.
    """
    return parse(path, _read_bytes(path))


def parse(path: str, data: bytes) -> dict[str, Any]:
    """Parse the content of the TOML file ``path``; raises like :func:`read`."""
    text = _decode(path, data)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML ({error}); {_remedy(text)}") from None


def apply(tree: dict[str, Any], override: str) -> None:
    """Apply one ``section.key=value`` to ``tree``; a value that is not TOML is taken as a string.

    A table is merged with the one that is there, and an empty one replaces it.
    """
    key, sign, text = (part.strip() for part in override.partition("="))
    if not sign or "." not in key:
        raise ConfigError(
            f"--set {override}: must read section.key=value, as one argument without spaces around =; "
            "for example --set train.steps=100"
        )
    _merge(tree, _parse_override(key, text))


def _read_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        problem = _PROBLEMS.get(type(error)) or f"cannot be read ({error.strerror})"
        found = f"; {path}.toml exists" if Path(f"{path}.toml").is_file() else ""
        raise ConfigError(f"--config {path}: {problem}; name a readable local TOML file{found}") from None


def _decode(path: str, data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data:
        raise ConfigError(f"{path}: not UTF-8 but UTF-16, or not text; TOML is UTF-8: save the file as UTF-8")
    try:
        # Line ends are normalized: TOML rejects a carriage return alone.
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path}: not UTF-8 (byte 0x{data[error.start]:02x} in line {line}); save the file as UTF-8"
        ) from None


def _remedy(text: str) -> str:
    """Return the remedy for the first line that shows a known mistake."""
    if text.lstrip().startswith("{"):
        return "this looks like JSON; write [section], then key = value"
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, remedy in () if _is_toml(line) else _MISTAKES:
            if pattern.search(line):
                return f"line {number}: {remedy}"
    return "correct the file"


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _parse_override(key: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(f"{key} = {text}")
    except tomllib.TOMLDecodeError as error:
        problem = error
    # A bare word is a string, so that it need not be quoted twice, for TOML and for the shell.
    try:
        parsed = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--set {key}={text}: not a TOML key ({error}); correct or quote it") from None
    if _QUOTED.match(text):
        raise ConfigError(
            f"--set {key}={text}: the value is not valid TOML ({problem}); close its brackets and quotes, "
            "and put the argument in single quotes for the shell"
        )
    table = parsed
    while isinstance(inner := next(iter(table.values())), dict):
        table = inner
    table[next(iter(table))] = text
    return parsed


def _merge(tree: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if value and isinstance(value, dict) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = value
