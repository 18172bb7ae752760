"""The single pass over text: raw records become rows with text, metrics, verdict and duplicate keys.

Plain Python over Arrow batches, without Spark: ``clean.py`` maps it over the cluster.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core.config import Config
from pipeline import document
from pipeline.dedup.exact import exact_key
from pipeline.dedup.minhash import band_hashes
from pipeline.extraction.guard import guard
from pipeline.filters import FilterPipeline
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.record import Damaged, InputSplit, Item, Record, Skipped
from pipeline.readers.warc import indexed

BATCH_ROWS = 512
BATCH_CHARACTERS = 8_000_000


def schema() -> pa.Schema:
    """A document row without its cluster, with the verdict on it and the keys under which its copies meet.

    ``text`` is null for dropped records; ``text_hash``, ``words`` and ``keys`` are so where there never was a
    text, and tell of it as it would be published; ``error`` is set for damaged records.
    """
    of_document = [field for field in document.schema() if not field.name.startswith("cluster")]
    of_verdict = [
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("sample", pa.string()),
        ("error", pa.string()),
        ("text_hash", pa.string()),
        ("words", pa.int64()),
        ("keys", pa.list_(pa.int64())),
    ]
    return pa.schema([*of_document, *(pa.field(name, kind) for name, kind in of_verdict)])


def process_splits(splits: Iterable[InputSplit], config: Config) -> Iterator[pa.RecordBatch]:
    """Every record of every split as exactly one row, in batches of bounded size."""
    record_processing, batch = RecordProcessor(config), _Batch(config)
    for split, item in _items(splits, config):
        row, words = record_processing.row(split, item)
        batch.add(row, words)
        if batch.is_full():
            yield batch.flush()
    if batch.rows:
        yield batch.flush()


def _items(splits: Iterable[InputSplit], config: Config) -> Iterator[tuple[InputSplit, Item]]:
    if config.input.index.path:
        yield from indexed.read(splits)
        return
    for split in splits:
        for item in read(split, config.input.columns):
            yield split, item


class RecordProcessor:
    """Reads no file and knows no Spark: one item in, one row out."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.filters = FilterPipeline(config.filters)
        self.extract = guard(config.extraction).extract

    def row(
        self, split: InputSplit, item: Record | Skipped | Damaged
    ) -> tuple[dict[str, Any], npt.NDArray[np.uint64] | None]:
        """The row of one item, and the word hashes of its text if it has one."""
        row: dict[str, Any] = {
            "id": document.document_id(split.file_name, item.origin.offset),
            "source": split.source,
            "origin": {"path": split.path, "offset": item.origin.offset, "length": item.origin.length},
        }
        if isinstance(item, Damaged):
            return row | {"error": item.error}, None
        if isinstance(item, Skipped):
            return row | {"url": item.url} | _verdict(item.drop), None
        row |= {
            "url": item.url,
            "title": item.title,
            "fetched_at": item.fetched_at,
            "license": item.license,
        }
        row["metrics"], drop = self.filters.check_url(item.url)
        if drop:
            return row | _verdict(drop), None
        extracted = self.extract(item)
        if isinstance(extracted, Drop):
            return row | _verdict(extracted), None
        row["title"] = item.title or extracted.title
        return self._filtered(row, extracted.text, item.language)

    def _filtered(
        self, row: dict[str, Any], text: str, declared_language: str
    ) -> tuple[dict[str, Any], npt.NDArray[np.uint64] | None]:
        filtered = self.filters.filter_text(text, declared_language)
        row |= {
            "language": filtered.language,
            "language_score": filtered.language_score,
            "metrics": row["metrics"] | filtered.metrics,
        }
        row |= {"text_hash": document.text_hash(filtered.text), "words": len(filtered.word_hashes)}
        if filtered.drop:
            row |= _verdict(filtered.drop) | {"sample": self._sample(row, text)}
        else:
            row["text"] = filtered.text
        return row, filtered.word_hashes

    def _sample(self, row: dict[str, Any], text: str) -> str | None:
        """First characters of a share of the dropped texts, chosen by id; masked as what is kept is."""
        if int(row["id"][:8], 16) >= self.config.ledger.sample_share * 2**32:
            return None
        characters = self.config.ledger.sample_characters
        return self.filters.mask(text[: 2 * characters], row["language"])[:characters]


class _Batch:
    """Rows until there are enough of them for one MinHash call and one Arrow batch."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.rows: list[dict[str, Any]] = []
        self.words: list[tuple[int, npt.NDArray[np.uint64]]] = []
        self.characters = 0

    def add(self, row: dict[str, Any], words: npt.NDArray[np.uint64] | None) -> None:
        if words is not None:
            self.words.append((len(self.rows), words))
            self.characters += len(row.get("text", "")) + len(words)
        self.rows.append(row)

    def is_full(self) -> bool:
        return len(self.rows) >= BATCH_ROWS or self.characters >= BATCH_CHARACTERS

    def flush(self) -> pa.RecordBatch:
        bands = band_hashes([words for _, words in self.words], self.config.dedup)
        for (index, _), hashes in zip(self.words, bands, strict=True):
            self.rows[index]["keys"] = [exact_key(self.rows[index]["text_hash"]), *hashes]
        result = pa.RecordBatch.from_pylist(self.rows, schema=schema())
        self.rows, self.words, self.characters = [], [], 0
        return result


def _verdict(drop: Drop) -> dict[str, Any]:
    return {"reason": drop.reason.value, "value": drop.value, "threshold": drop.threshold}
