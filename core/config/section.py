"""The base class of all configuration sections, and value types that several sections share."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?b|b|)", re.IGNORECASE)
_EXPONENTS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class Section(BaseModel):
    """A part of the configuration: frozen, strictly typed, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def parse_size(value: object) -> object:
    """Convert a size such as ``128MiB`` (2^20) or ``128MB`` (10^6) to bytes; return other types unchanged."""
    if not isinstance(value, str):
        return value
    if not (match := _SIZE.fullmatch(value.strip())):
        raise PydanticCustomError(
            "byte_size",
            'must be a number of bytes or a size with a unit; write "128MiB" (2^20) or "128MB" (10^6)',
        )
    number, unit = match[1], match[2].lower()
    base = 1024 if "i" in unit else 1000
    size = Decimal(number) * base ** _EXPONENTS[unit.rstrip("b").rstrip("i")]
    if size != int(size):
        raise PydanticCustomError("byte_size", "must be a whole number of bytes; write a smaller unit")
    return int(size)


ByteSize = Annotated[int, BeforeValidator(parse_size)]
"""A number of bytes, or a string with a unit: ``134217728``, ``"128MiB"``, ``"1.5GB"``."""

Weights = dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
"""Relative weights by name: only their proportions matter."""
