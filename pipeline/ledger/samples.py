"""Examples of what one reason dropped: always the same ones, those with a text sample first."""

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
from pipeline.ledger.story import addresses, comparison, indented, printable
from pipeline.ledger.tables import LEDGER, RECORDS

_COLUMNS = ["id", "url", "value", "threshold", "duplicate_of", "sample"]


def reason_named(name: str) -> Reason:
    """The reason of that name. Raises :class:`InputError` with the nearest valid one."""
    valid = [reason.value for reason in Reason]
    if name not in valid:
        near = nearest(name, valid)
        raise InputError(f"--reason {name}: no record is dropped by that; the nearest valid name is {near}")
    return Reason(name)


def samples(run: str, reason: Reason, count: int) -> Iterator[str]:
    """A title, then up to ``count`` drops, each with its address, numbers and first characters."""
    counts = manifest.read(run, "clean").counts
    dropped = counts.get(f"dropped.{reason}", 0)
    yield f"{reason} dropped {dropped:,} of {counts['records_in']:,} records, because {reason.meaning}"
    if not dropped:
        return
    chosen = _least(lookup.table(run, LEDGER), ds.field("reason") == reason.value, count)
    records = lookup.table(run, RECORDS)
    others = addresses(records, [row["duplicate_of"] for row in chosen])
    texts = _texts(records, [row["id"] for row in chosen if row["duplicate_of"]])
    for row in chosen:
        numbers = comparison(reason, row["value"], row["threshold"])
        if row["duplicate_of"]:
            numbers = f": as {row['duplicate_of']} {printable(others[row['duplicate_of']])}".rstrip()
        text = (row["sample"] or texts.get(row["id"], ""))[:300]
        yield "\n".join(filter(None, [f"{row['id']} {printable(row['url'] or '')}{numbers}", indented(text)]))


def _least(table: ds.Dataset, where: ds.Expression, count: int) -> list[dict[str, Any]]:
    """The rows of least id, those with a sample first; no more than a batch and they are held at a time."""
    best = table.schema.empty_table().select(_COLUMNS)
    for batch in table.to_batches(columns=_COLUMNS, filter=where):
        both = pa.concat_tables([best, pa.Table.from_batches([batch])])
        order = pa.table({"bare": pc.is_null(both["sample"]).cast("int8"), "id": both["id"]})
        keys = [("bare", "ascending"), ("id", "ascending")]
        best = both.take(pc.sort_indices(order, sort_keys=keys).slice(0, count))
    return list(best.to_pylist())


def _texts(records: ds.Dataset, ids: list[str]) -> dict[str, str]:
    """Beginnings of the texts that were dropped as copies, which the ledger has no sample of."""
    if not ids:
        return {}
    return {row["id"]: row["text"] for row in lookup.rows(records, ds.field("id").isin(ids), ["id", "text"])}
