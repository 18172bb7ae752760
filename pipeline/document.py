"""The document row: what a page, article or book is from extraction to packing.

The schema is the contract of the ``documents/`` table (Parquet) and of every Arrow batch on the way there.
"""

import hashlib

import pyarrow as pa

METRICS: tuple[str, ...] = ()
"""Names of the filters' numbers, in the order of the ``metrics`` struct."""

ORIGIN = pa.struct([("path", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
"""Where the raw record lies: file, first byte, number of bytes (in a compressed file: of its member)."""


def schema() -> pa.Schema:
    """The document row. ``metrics`` are float64, null where a metric was not taken."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("source", pa.string()),
            ("url", pa.string()),
            ("title", pa.string()),
            ("fetched_at", pa.timestamp("us", tz="UTC")),
            ("language", pa.string()),
            ("language_score", pa.float64()),
            ("license", pa.string()),
            ("origin", ORIGIN),
            ("metrics", pa.struct([(metric, pa.float64()) for metric in METRICS])),
            ("cluster", pa.string()),
            ("cluster_size", pa.int64()),
        ]
    )


def document_id(file_name: str, offset: int) -> str:
    """32 hex digits that a record has wherever its file is stored.

    ``file_name`` is the file's name among the inputs (unique there, without the folder or bucket it
    happens to lie in), ``offset`` the record's first byte in it.
    """
    return hashlib.blake2b(f"{file_name}\0{offset}".encode(), digest_size=16).hexdigest()


def text_hash(text: str) -> str:
    """32 hex digits of the exact text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
