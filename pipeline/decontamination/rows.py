"""Schemas and rows for matches of evaluation items: a column of the table of records, and their own table."""

from typing import Any

import pyarrow as pa

from pipeline.decontamination.matching import Contamination
from pipeline.ledger import Drop

MATCH = pa.struct(
    [("benchmark", pa.string()), ("item", pa.int32()), ("hits", pa.int32()), ("passage", pa.string())]
)
"""The fields of :class:`~pipeline.decontamination.matching.ItemMatch`."""
CONTAMINATION = pa.struct(
    [
        ("hits", pa.int32()),
        ("drops", pa.bool_()),
        ("removed_characters", pa.int64()),
        ("matches", pa.list_(MATCH)),
    ]
)
"""Type of the column; null for texts that contained nothing. ``drops``: nothing of the text is published."""


def table_schema() -> pa.Schema:
    """Schema of the published table: one row per document and item in it."""
    document = [(name, pa.string()) for name in ("id", "source", "url")]
    return pa.schema([*document, *MATCH])


def to_value(found: Contamination, text: str, decision: Drop | str) -> dict[str, Any]:
    """Return the value of the column for a text and the decision about it."""
    return {
        "hits": found.hits,
        "drops": isinstance(decision, Drop),
        "removed_characters": 0 if isinstance(decision, Drop) else max(len(text) - len(decision), 0),
        "matches": [
            {"benchmark": match.benchmark, "item": match.item, "hits": match.hits, "passage": match.passage}
            for match in found.matches
        ],
    }
