"""Examples of the records that a reason dropped. The selection is deterministic."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from core import manifest
from core.errors import InputError
from core.messages import nearest
from pipeline.ledger import lookup
from pipeline.ledger.reasons import Reason
from pipeline.ledger.record_history import (
    describe_survivor,
    describe_value,
    indented,
    printable,
    survivor_urls,
)
from pipeline.ledger.tables import LEDGER, RECORDS

_COLUMNS = ["id", "url", "value", "threshold", "duplicate_of", "duplicate_in", "sample"]


def parse_reason(name: str) -> Reason:
    """Return the reason of that name. Raises :class:`InputError` with the nearest valid name."""
    valid = [reason.value for reason in Reason]
    if name not in valid:
        near = nearest(name, valid)
        raise InputError(f"--reason {name}: not a reason; the nearest valid name is {near}")
    return Reason(name)


def samples(run: str, reason: Reason, count: int) -> Iterator[str]:
    """Yield a title, then up to ``count`` dropped records, each with URL, numbers and first characters."""
    counts = manifest.read(run, *manifest.CORPUS_STAGES).counts
    dropped = counts.get(f"dropped.{reason}", 0)
    yield f"{reason} dropped {dropped:,} of {counts['records_in']:,} records, because {reason.meaning}"
    if not dropped:
        return
    rows = _first_rows(lookup.open_table(run, LEDGER), ds.field("reason") == reason.value, count)
    records = lookup.open_table(run, RECORDS)
    urls = survivor_urls(records, rows)
    texts = _texts(records, [row["id"] for row in rows]) if reason.stage == "dedup" else {}
    for row in rows:
        details = describe_value(reason, row["value"], row["threshold"])
        if row["duplicate_of"]:
            details = f": duplicate of {describe_survivor(row, urls)}"
        text = (row["sample"] or texts.get(row["id"], ""))[:300]
        heading = " ".join(filter(None, [row["id"], printable(row["url"] or "")]))
        yield "\n".join(filter(None, [heading + details, indented(text)]))


def _first_rows(table: ds.Dataset, condition: ds.Expression, count: int) -> list[dict[str, Any]]:
    """Return the rows with the least ids, those with a text sample first. Holds one batch at a time."""
    columns = [name for name in _COLUMNS if name in table.schema.names]
    best = table.schema.empty_table().select(columns)
    for batch in table.to_batches(columns=columns, filter=condition):
        combined = pa.concat_tables([best, pa.Table.from_batches([batch])])
        order = pa.table({"no_sample": pc.is_null(combined["sample"]).cast("int8"), "id": combined["id"]})
        keys = [("no_sample", "ascending"), ("id", "ascending")]
        best = combined.take(pc.sort_indices(order, sort_keys=keys).slice(0, count))
    return list(best.to_pylist())


def _texts(records: ds.Dataset, ids: list[str]) -> dict[str, str]:
    """Return the texts of records that deduplication dropped, for which the ledger has no sample."""
    rows = lookup.find_rows(records, ds.field("id").isin(ids), ["id", "text"])
    return {row["id"]: row["text"] for row in rows}
