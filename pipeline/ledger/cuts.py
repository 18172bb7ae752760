"""Descriptions of the repeated lines and passages that a run's manifest records."""

from collections.abc import Iterator, Mapping
from typing import Any

from core.manifest import Manifest

NAMES = {"lines": "lines", "substrings": "passages"}
"""Names of the reasons in the table of cuts."""


def is_cut(reason: str, made: Manifest) -> bool:
    """True if the run removed what it found for a reason; False if it only recorded it."""
    return bool(made.config["dedup"][reason].get("action", "cut") == "cut")


def describe_cuts(made: Manifest) -> Iterator[str]:
    """Yield a sentence per reason about what was found; nothing if it was not searched for."""
    facts: Mapping[str, Mapping[str, Any]] | None = made.facts.get("cuts")
    if facts is not None and not facts:
        yield "no repeated lines or passages were found"
    for reason, found in (facts or {}).items():
        done = "cut" if is_cut(reason, made) else "marked, not cut"
        yield (
            f"{found['spans']:,} repeated {NAMES[reason]}, {found['characters']:,} characters in "
            f"{found['documents']:,} documents, were {done}"
        )
