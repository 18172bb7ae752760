"""Parameters that are accepted as long as they do not change the answer.

Clients send parameters that they were not told to, in values without effect. ``parameters.toml`` lists them.
"""

import json
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from importlib import resources
from typing import Any

MAX_SHOWN_CHARACTERS = 60


@cache
def _tables() -> Mapping[str, Any]:
    text = resources.files("serve.api.schemas").joinpath("parameters.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def drop_neutral(values: Mapping[str, Any], known: Collection[str], *, suffix: str = "") -> dict[str, Any]:
    """Return ``values`` without nulls, and without the parameters beside ``known`` that have no effect.

    ``suffix`` selects the lists: that of requests, or ``_in_messages``.
    """
    ignored, neutral = _tables()[f"ignored{suffix}"], _tables()[f"neutral{suffix}"]

    def has_effect(name: str, value: Any) -> bool:
        if name in known or value is None:
            return value is not None
        is_empty = isinstance(value, str | list | dict) and not value
        return not (is_empty or name in ignored or value in neutral.get(name, ()))

    return {name: value for name, value in values.items() if has_effect(name, value)}


def rejection(name: str, value: Any) -> tuple[str, str]:
    """Return the message and the code for a parameter that is not supported or unknown."""
    last = name.rpartition(".")[2]
    tables = _tables()["neutral_in_messages"] if last != name else _tables()["neutral"]
    if last not in tables:
        return f"unknown parameter {name}; remove it", "unknown_parameter"
    shown = json.dumps(value, ensure_ascii=False)
    if len(shown) > MAX_SHOWN_CHARACTERS:
        shown = shown[: MAX_SHOWN_CHARACTERS - 1] + "…"
    allowed = "".join(f" or send {json.dumps(each)}" for each in tables[last])
    return f"{name} = {shown} is not supported by this server; leave it out{allowed}", "unsupported_parameter"
