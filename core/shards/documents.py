"""Find documents by id or URL: their spans in a set of shards, and their URLs and scores in the corpus.

Of the shards only the spans are read, and of the corpus the columns that are asked for.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from core import storage
from core.errors import InputError
from core.manifest import FileEntry
from core.shards.format import SplitName
from core.shards.reader import FILES_AT_ONCE, Shards

SCORES = ("quality", "toxicity")
"""Metrics of documents that are scores of classifiers."""
_ID = re.compile(r"[0-9a-fA-F]{32}")


class DocumentSpan(NamedTuple):
    """A part of a document in a set of shards."""

    document: str
    """Id, 32 hexadecimal digits."""
    split: SplitName
    source: str
    row: int
    """Number of the row within its split and source."""
    start: int
    """First token in the row."""
    length: int
    """Number of tokens."""


def find_documents(shards: Shards, ids: Collection[str]) -> Iterator[DocumentSpan]:
    """Yield all spans of documents, in the order of the rows of each split and source.

    Reads the ids in every file, 16 bytes a span, and of files with such documents the spans, 24 bytes.
    """
    wanted = {bytes.fromhex(each) for each in ids}
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        for split, source in shards.groups:
            first, entries = 0, shards.files(split, source)
            for entry, found in zip(
                entries, pool.map(partial(_find_in_file, shards, wanted), entries), strict=True
            ):
                for document, row, start, length in found:
                    yield DocumentSpan(document, split, source, first + row, start, length)
                first += entry.rows


def _find_in_file(
    shards: Shards, wanted: Collection[bytes], entry: FileEntry
) -> list[tuple[str, int, int, int]]:
    """Return the id, row, first token and length of the spans of some documents in a file."""
    bounds, ids = shards.document_ids(entry)
    # Ids are hashes: few others have the same first half as a wanted one.
    halves = np.frombuffer(b"".join(each[:8] for each in wanted), np.uint64)
    candidates = np.flatnonzero(np.isin(ids.view(np.uint64)[:, 0], halves)).tolist()
    spans = [span for span in candidates if ids[span].tobytes() in wanted]
    if not spans:
        return []
    segments = shards.all_segments(entry)
    rows = bounds.searchsorted(spans, "right") - 1
    names = [ids[span].tobytes().hex() for span in spans]
    columns = (rows, segments.start[spans], segments.length[spans])
    return list(zip(names, *(column.tolist() for column in columns), strict=True))


def resolve(run: str, names: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the documents that each name stands for: an id itself, or a URL in the corpus.

    ``run`` is the folder of the run. The list of a URL that no document has is empty. Raises
    :class:`InputError` for a name that is no id if the corpus is not there.
    """
    found: dict[str, list[str]] = {name: [name.lower()] if _ID.fullmatch(name) else [] for name in names}
    if urls := [name for name, ids in found.items() if not ids]:
        if not storage.exists(storage.join(run, "documents")):
            raise InputError(
                f"{urls[0]!r}: not a document's id, and {run} has no documents/ to look up a URL; give the "
                "32 hexadecimal digits of its id"
            )
        for row in _lookup(run, "url", urls):
            found[row["url"]].append(row["id"])
    return {name: sorted(ids) for name, ids in found.items()}


def resolve_one(run: str, name: str) -> list[str]:
    """Return the ids of the documents with an id or URL. Raises :class:`InputError` for an unknown URL."""
    if not (ids := resolve(run, [name])[name]):
        raise InputError(unknown(run, name))
    return ids


def unknown(run: str, name: str) -> str:
    """Return the message for a name that :func:`resolve` did not find."""
    return (
        f"{name!r}: neither an id (32 hexadecimal digits) nor the URL of a document in {run}; "
        "python -m pipeline.ledger shows what became of a page"
    )


def document_urls(run: str, ids: Sequence[str]) -> dict[str, str]:
    """Return the URL of each document that has one, from the corpus in the folder of a run.

    Reads the columns ``id`` and ``url`` of all documents.
    """
    return {row["id"]: row["url"] for row in _lookup(run, "id", ids) if row["url"]}


def document_scores(run: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return of each document in the corpus of a run what judges it, as far as it was measured, and its URL.

    Keys: ``url``, ``language``, ``language_score``, ``quality``, ``toxicity``.
    """
    found = {}
    for row in _lookup(run, "id", ids, ("id", "url", "language", "language_score", "metrics")):
        document, metrics = row.pop("id"), row.pop("metrics", None) or {}
        values = {**row, **{score: metrics.get(score) for score in SCORES}}
        found[document] = {key: value for key, value in values.items() if value is not None}
    return found


def _lookup(
    run: str, column: str, values: Sequence[str], columns: Sequence[str] = ("id", "url")
) -> list[dict[str, Any]]:
    """Return some columns of the documents whose ``column`` has one of the values."""
    # These import pandas, .4 seconds that only a lookup should take.
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    folder = storage.join(run, "documents")
    files = [each.path for each in storage.list_files(folder) if each.path.endswith(".parquet")]
    fs, _ = storage.filesystem(folder)
    table = ds.dataset([storage.filesystem(file)[1] for file in files], filesystem=fs, format="parquet")
    wanted = pc.field(column).isin(pa.array(values, pa.string()))
    present = [name for name in columns if name in table.schema.names]
    rows: list[dict[str, Any]] = table.to_table(columns=present, filter=wanted).to_pylist()
    return rows
