"""Conversion of Arrow arrays to Python values, in which a value that has none costs only itself."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pipeline.readers.record import DATA_ERRORS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANOSECONDS: Mapping[str, int] = MappingProxyType({"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1})


class InvalidString(bytes):
    """The bytes of a string that is not valid UTF-8."""


def to_python(column: pa.Array) -> list[Any]:
    """Return the values of a column.

    Structs and maps become dictionaries; timestamps become datetimes in UTC, None outside the years 1 to
    9999; strings that are not UTF-8 become :class:`InvalidString`. Other values that Python cannot hold
    become None.
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return to_python(column.storage)
    if pa.types.is_dictionary(kind):
        return to_python(column.dictionary_decode())
    if pa.types.is_struct(kind):
        return _structs(column)
    if pa.types.is_timestamp(kind):
        factor = _NANOSECONDS[kind.unit]
        return [_time(value, factor) for value in column.cast(pa.int64()).to_pylist()]
    try:
        return list(column.to_pylist(maps_as_pydicts="lossy"))
    except DATA_ERRORS:
        return [_value(scalar) for scalar in column]


def _structs(column: pa.StructArray) -> list[dict[str, Any] | None]:
    """Return a dictionary for each struct; of fields with equal names the first counts."""
    fields: dict[str, list[Any]] = {}
    for field, values in zip(column.type, column.flatten(), strict=True):
        if field.name not in fields:
            fields[field.name] = to_python(values)
    present = column.is_valid().to_pylist()
    return [
        {name: values[row] for name, values in fields.items()} if present[row] else None
        for row in range(len(column))
    ]


def _time(value: int | None, factor: int) -> datetime | None:
    try:
        return None if value is None else _EPOCH + timedelta(microseconds=value * factor // 1000)
    except OverflowError:
        return None


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py(maps_as_pydicts="lossy")
    except UnicodeDecodeError:
        is_string = isinstance(scalar, pa.StringScalar | pa.LargeStringScalar | pa.StringViewScalar)
        return InvalidString(scalar.as_buffer().to_pybytes()) if is_string else None
    except DATA_ERRORS:
        return None
