"""Random tables for ``fuzz.py``: Parquet files and JSON lines with any type of column and extreme values."""

import datetime
import decimal
import gzip
import json
import random
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

TEXTS = (
    "The ferry arrives twice a day in summer.",
    "",
    "Ærø, 東京, \U0001f600, e\u0301, \u202e",
    "a\0b",
    "\n\n \t",
    "x" * 5000,
    "<p>3 < 4 &amp; 5</p>",
)
NAMES = (
    "text",
    "url",
    "title",
    "language",
    "lang",
    "date",
    "timestamp",
    "license",
    "metadata",
    "extra",
    "",
    "a.b",
)
_NUMBERS = (0, -1, 1, 2**31 - 1, 10**9, 1714979289, 2**53)
Make = Callable[[random.Random], Any]


def _scalar_types() -> list[tuple[pa.DataType, Make]]:
    """Return types of columns, each with a function that makes a value."""

    def text(choose: random.Random) -> str:
        return choose.choice(TEXTS)

    def data(choose: random.Random) -> bytes:
        return choose.choice([text(choose).encode(), b"\xff\xfe\x80", b"\xed\xa0\x80"])

    def moment(choose: random.Random) -> int:
        return choose.choice((0, -1, 10**15, -(2**62), 2**62, 1714979289))

    texts = (pa.string(), pa.large_string(), pa.string_view())
    binaries = (pa.binary(), pa.large_binary(), pa.binary_view())
    times = [pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "+14:00")]
    return [
        *((kind, text) for kind in texts),
        *((kind, data) for kind in binaries),
        *((kind, moment) for kind in times),
        (pa.binary(3), lambda _: b"abc"),
        (pa.int8(), lambda choose: choose.randrange(-128, 128)),
        (pa.uint64(), lambda choose: choose.choice((0, 2**64 - 1))),
        (pa.int64(), lambda choose: choose.choice(_NUMBERS)),
        (pa.float16(), lambda choose: choose.choice((0.5, float("nan"), float("inf")))),
        (pa.float64(), lambda choose: choose.choice((0.5, float("nan"), -float("inf"), 1e308, -0.0))),
        (pa.bool_(), lambda choose: choose.random() < 0.5),
        (
            pa.decimal128(38, 10),
            lambda choose: decimal.Decimal(choose.choice(("1.5", "-99999999999999999999"))),
        ),
        (pa.decimal256(76, 0), lambda _: decimal.Decimal(10**70)),
        (pa.date32(), lambda choose: choose.choice((datetime.date(1, 1, 1), 2**31 - 1, -(2**31)))),
        (pa.date64(), lambda _: datetime.date(2024, 5, 6)),
        (pa.time32("s"), lambda _: datetime.time(23, 59)),
        (pa.time64("ns"), lambda choose: choose.choice((0, 86_399_999_999_999))),
        (pa.duration("us"), lambda choose: choose.choice((0, 2**62, -(2**62)))),
        (pa.null(), lambda _: None),
    ]


_TYPES = _scalar_types()


def _column_type(choose: random.Random, depth: int = 0) -> tuple[pa.DataType, Make]:
    """Return a type, a third of them nested, and a function that makes a value of it or null."""
    kind, make = choose.choice(_TYPES)
    if depth < 3 and choose.random() < 0.35:
        kind, make = _nested(choose, depth)

    def nullable(source: random.Random) -> Any:
        return None if source.random() < 0.15 else make(source)

    return kind, nullable


def _nested(choose: random.Random, depth: int) -> tuple[pa.DataType, Make]:
    inner, make = _column_type(choose, depth + 1)
    match choose.randrange(5):
        case 0:
            return pa.list_(inner), lambda source: [make(source) for _ in range(source.randrange(3))]
        case 1:
            return pa.large_list(inner), lambda source: [make(source) for _ in range(source.randrange(3))]
        case 2:
            return pa.map_(pa.string(), inner), lambda source: [
                (source.choice(("url", "a", "a", "")), make(source)) for _ in range(source.randrange(3))
            ]
        case 3:
            return pa.list_(inner, 2), lambda source: [make(source), make(source)]
        case _:
            fields = {
                name: _column_type(choose, depth + 1) for name in choose.sample(NAMES, choose.randrange(1, 4))
            }
            kind = pa.struct([(name, each) for name, (each, _) in fields.items()])
            return kind, lambda source: {name: make_field(source) for name, (_, make_field) in fields.items()}


def _text_column(choose: random.Random, rows: int) -> pa.Array:
    """Return a column of texts of any type that holds them, sometimes with bytes that are not UTF-8."""
    values = [None if choose.random() < 0.05 else choose.choice(TEXTS) for _ in range(rows)]
    if choose.random() < 0.2:
        raw = [value and value.encode() + choose.choice((b"", b"\xff", b"\xed\xa0\x80")) for value in values]
        # Not checked: readers meet strings that are not UTF-8.
        return pa.Array.from_buffers(pa.string(), rows, pa.array(raw, pa.binary()).buffers())
    kind = choose.choice((pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()))
    column = pa.array([value and value.encode() for value in values], pa.binary()).cast(kind)
    return column.dictionary_encode() if choose.random() < 0.2 and kind != pa.string_view() else column


def parquet_file(choose: random.Random) -> bytes:
    """Return a Parquet file with a text column and others of random names, repeated ones too, and types."""
    rows = choose.choice((0, 1, 3, 40, 300))
    names, columns = ["text"], [_text_column(choose, rows)]
    for name in choose.choices(NAMES, k=choose.randrange(6)):
        kind, make = _column_type(choose)
        names.append(name)
        columns.append(pa.array([make(choose) for _ in range(rows)], kind))
    order = choose.sample(range(len(names)), len(names))
    table = pa.Table.from_arrays([columns[each] for each in order], [names[each] for each in order])
    sink = BytesIO()
    options: dict[str, Any] = {
        "compression": choose.choice(("none", "snappy", "gzip", "zstd", "brotli", "lz4")),
        "version": choose.choice(("1.0", "2.4", "2.6")),
        "data_page_version": choose.choice(("1.0", "2.0")),
        "use_dictionary": choose.random() < 0.5,
        "row_group_size": choose.choice((1, 20, 1000)),
        "write_statistics": choose.random() < 0.5,
        "write_page_checksum": choose.random() < 0.5,
        "store_schema": choose.random() < 0.7,
    }
    try:
        pq.write_table(table, sink, **options)
    except (pa.ArrowException, ValueError):  # Parquet does not have every type.
        return parquet_file(choose)
    return sink.getvalue()


def _json_value(choose: random.Random, depth: int = 0) -> Any:
    kind = choose.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return choose.choice(
            (*TEXTS, "\ud800", "2024-05-06T07:08:09+99:99", "0000-00-00", "10000-01-01", "en")
        )
    if kind < 6:
        return choose.choice((None, True, 1e308, float("nan"), float("-inf"), 10**4000, *_NUMBERS))
    if kind == 6:
        return [_json_value(choose, depth + 1) for _ in range(choose.randrange(3))]
    return {
        choose.choice((*NAMES, "\udc00")): _json_value(choose, depth + 1) for _ in range(choose.randrange(4))
    }


def _json_row(choose: random.Random) -> str:
    row = {name: _json_value(choose) for name in choose.choices(NAMES, k=choose.randrange(7))}
    if choose.random() < 0.9:
        row["text"] = choose.choice(TEXTS)
    return json.dumps(row, ensure_ascii=choose.random() < 0.5)


def json_lines(choose: random.Random) -> tuple[str, bytes]:
    """Return the name and content of JSON lines or of a JSON array, compressed or not, in any encoding."""
    rows = [_json_row(choose) for _ in range(choose.choice((1, 3, 60)))]
    text = f"[{', '.join(rows)}]" if choose.random() < 0.1 else "\n".join(rows) + "\n"
    encoding = choose.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32"))
    data = text.encode(encoding, "surrogatepass")
    name, compress = choose.choice(
        ((".jsonl", bytes),) * 4
        + ((".jsonl.gz", gzip.compress), (".jsonl.zst", zstd.compress), (".json", bytes))
    )
    return f"a{name}", compress(data)
