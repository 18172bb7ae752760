"""The table of cuts: which spans of which document are removed, and why."""

import numpy as np
import pyarrow as pa

from pipeline.analysis.arrays import changes
from pipeline.dedup.cuts import DocumentSpans

CUTS = pa.schema(
    [
        ("part", pa.string()),
        ("id", pa.string()),
        ("reason", pa.string()),
        ("spans", pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64())]))),
    ]
)
"""File of the records and document; ``lines`` or ``substrings``; offsets into the text in code points, sorted
and disjoint."""


def to_rows(spans: DocumentSpans, documents: pa.RecordBatch, reason: str) -> pa.RecordBatch:
    """Return a row per document that has spans. ``documents`` has columns part and id, by number."""
    first = changes(spans.documents)
    numbers = pa.array(spans.documents[first])
    offsets = pa.array(np.append(first, len(spans)).astype(np.int32))
    pairs = pa.StructArray.from_arrays([pa.array(spans.starts), pa.array(spans.ends)], ["start", "end"])
    columns = [
        documents["part"].take(numbers),
        documents["id"].take(numbers),
        pa.repeat(reason, len(first)),
        pa.ListArray.from_arrays(offsets, pairs),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=CUTS)
