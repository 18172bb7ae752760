"""Objects in lines of JSON, as users write them."""

import json
import re
from collections.abc import Iterator
from typing import Any

from core.errors import InputError

SURROGATE = re.compile("[\ud800-\udfff]")


def parse_object(line: str, location: str) -> dict[str, Any]:
    """Return the object in a line; ``location`` names the line in errors.

    Raises :class:`InputError` for anything else, for a field that occurs twice, and for text that contains
    half of a surrogate pair, which JSON can spell but no encoding can store.
    """
    try:
        found = json.loads(line, object_pairs_hook=lambda pairs: _object(pairs, location))
    except RecursionError:
        raise InputError(f"{location}: nested too deeply; correct the line") from None
    except ValueError as error:
        raise InputError(f"{location}: not JSON ({error}); each line must be a JSON object") from None
    if not isinstance(found, dict):
        raise InputError(f"{location}: {line[:40]}: each line must be a JSON object; correct it")
    if "\\u" in line:
        for field, text in _texts(found):
            if match := SURROGATE.search(text):
                raise InputError(
                    f"{location}: field {field!r} has half of a surrogate pair ({ascii(match[0])[1:-1]}) at "
                    f"character {match.start() + 1}, which is not text; correct or remove the line"
                )
    return found


def _object(pairs: list[tuple[str, Any]], location: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{location}: field {twice!r} occurs twice; keep one")
    return found


def _texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and text of every string, and of every name of a field, nested in a value."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, part in value.items():
            inner = f"{path}.{name}" if path else name
            yield inner, name
            yield from _texts(part, inner)
    elif isinstance(value, list):
        for number, part in enumerate(value, 1):
            yield from _texts(part, f"{path}[{number}]")
