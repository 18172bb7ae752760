"""The single pass over text: process raw records into rows with text, metrics, decision and duplicate keys.

1. Split a file into records.
2. Filter by URL, extract the text, measure and filter it, mask personal data (:class:`RecordProcessor`).
3. Hash the text and its MinHash bands, a batch of rows at a time.

Plain Python over Arrow batches, without Spark: ``clean.py`` maps it over the cluster.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from core.config import Config
from core.hashing import Hashes
from pipeline import document
from pipeline.dedup.exact import exact_key
from pipeline.dedup.minhash import band_hashes
from pipeline.extraction.guard import guard
from pipeline.filters import FilterPipeline
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.record import DATA_ERRORS, Damaged, InputSplit, Item, Record, Skipped, valid_text
from pipeline.readers.warc import indexed

BATCH_ROWS = 512
BATCH_CHARACTERS = 8_000_000
MAX_PROBLEM = 1000
"""Characters of the longest description of an unexpected error."""


def schema(kept: Sequence[str] = ()) -> pa.Schema:
    """Columns of the table of records: a document without its cluster, the decision and the duplicate keys.

    ``kept``: columns of the input that are passed through.

    ``text`` is null for dropped records. ``text_hash``, ``words`` and ``keys`` describe the text as it would
    be published and are null for records that never had one. ``error`` is set for damaged records.
    """
    document_fields = [field for field in document.schema(kept) if not field.name.startswith("cluster")]
    added = [
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("sample", pa.string()),
        ("error", pa.string()),
        ("text_hash", pa.string()),
        ("words", pa.int64()),
        ("keys", pa.list_(pa.int64())),
    ]
    return pa.schema([*document_fields, *(pa.field(name, dtype) for name, dtype in added)])


def process_splits(splits: Iterable[InputSplit], config: Config) -> Iterator[pa.RecordBatch]:
    """Process every record of every split into exactly one row, in batches of bounded size."""
    processor, batch = RecordProcessor(config), _BatchBuilder(config)
    for split, item in _read_items(splits, config):
        row, words = processor.process(split, item)
        batch.add(row, words)
        if batch.is_full():
            yield batch.flush()
    if batch.rows:
        yield batch.flush()


def _read_items(splits: Iterable[InputSplit], config: Config) -> Iterator[tuple[InputSplit, Item]]:
    if config.input.index.path:
        yield from indexed.read(splits)
        return
    for split in splits:
        for item in read(split, config.input.columns, config.input.keep_columns):
            yield split, item


class RecordProcessor:
    """Turns one item of a reader into one row. Reads no files."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.filters = FilterPipeline(config.filters)
        # Load models and lists first, so that an error in one of them is not taken for one in a record.
        self.filters.check_url("http://example.org/")
        self.filters.filter_text("text")
        self.extract = guard(config.extraction).extract

    def process(self, split: InputSplit, item: Item) -> tuple[dict[str, Any], Hashes | None]:
        """Return an item's row without its keys, and the word hashes of its text if it has one."""
        row: dict[str, Any] = {
            "id": document.document_id(split.file_name, item.origin.offset),
            "source": split.source,
            "origin": {"path": split.path, "offset": item.origin.offset, "length": item.origin.length},
        }
        if isinstance(item, Damaged):
            return row | {"error": item.error}, None
        if isinstance(item, Skipped):
            return row | {"url": item.url} | _decision(item.drop), None
        try:
            return self._process_record(dict(row), item, split)
        except DATA_ERRORS as error:
            return _damaged(row, error), None

    def _process_record(
        self, row: dict[str, Any], record: Record, split: InputSplit
    ) -> tuple[dict[str, Any], Hashes | None]:
        row |= {
            "url": record.url,
            "title": record.title,
            "fetched_at": record.fetched_at,
            "license": record.license,
        }
        row["metrics"], drop = self.filters.check_url(record.url)
        if drop:
            return row | _decision(drop), None
        extracted = self.extract(record)
        if isinstance(extracted, Drop):
            return row | _decision(extracted), None
        row["title"] = record.title or extracted.title
        return self._filter(row, extracted.text, record, split)

    def _filter(
        self, row: dict[str, Any], text: str, record: Record, split: InputSplit
    ) -> tuple[dict[str, Any], Hashes | None]:
        keep_lines = not {split.format, split.source}.isdisjoint(self.config.filters.keep_lines)
        filtered = self.filters.filter_text(text, record.language, keep_lines=keep_lines)
        row |= {
            "language": filtered.language,
            "language_score": filtered.language_score,
            "metrics": row["metrics"] | filtered.metrics,
            "text_hash": document.text_hash(filtered.text),
            "words": len(filtered.word_hashes),
        }
        if filtered.drop:
            row |= _decision(filtered.drop) | {"sample": self._sample(row, text)}
        else:
            row |= {"text": filtered.text, "metadata": record.metadata or None}
        return row, filtered.word_hashes

    def _sample(self, row: dict[str, Any], text: str) -> str | None:
        """Return the beginning of a dropped text, masked like published ones, for a share chosen by id."""
        if int(row["id"][:8], 16) >= self.config.ledger.sample_share * 2**32:
            return None
        characters = self.config.ledger.sample_characters
        return self.filters.mask(text[: 2 * characters], row["language"])[:characters]


class _BatchBuilder:
    """Collects rows until there are enough for one MinHash call and one Arrow batch."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.schema = schema(config.input.keep_columns)
        self.rows: list[dict[str, Any]] = []
        self.words: list[tuple[int, Hashes]] = []
        self.characters = 0

    def add(self, row: dict[str, Any], words: Hashes | None) -> None:
        if words is not None:
            self.words.append((len(self.rows), words))
            self.characters += len(words)
        self.characters += sum(len(value) for value in row.values() if isinstance(value, str))
        self.rows.append(row)

    def is_full(self) -> bool:
        return len(self.rows) >= BATCH_ROWS or self.characters >= BATCH_CHARACTERS

    def flush(self) -> pa.RecordBatch:
        bands = band_hashes([words for _, words in self.words], self.config.dedup)
        for (index, _), hashes in zip(self.words, bands, strict=True):
            self.rows[index]["keys"] = [exact_key(self.rows[index]["text_hash"]), *hashes]
        result = _to_arrow(self.rows, self.schema)
        self.rows, self.words, self.characters = [], [], 0
        return result


def _to_arrow(rows: list[dict[str, Any]], columns: pa.Schema) -> pa.RecordBatch:
    """Convert rows; one that cannot be converted becomes a damaged record."""
    try:
        return pa.RecordBatch.from_pylist(rows, schema=columns)
    except (pa.ArrowException, *DATA_ERRORS) as error:
        if len(rows) == 1:
            return pa.RecordBatch.from_pylist([_damaged(rows[0], error)], schema=columns)
        return pa.concat_batches([_to_arrow([row], columns) for row in rows])


def _damaged(row: dict[str, Any], error: Exception) -> dict[str, Any]:
    """Return the row of a record that raises an error where none is expected."""
    problem = valid_text(f"cannot be processed: {type(error).__name__}: {error}"[:MAX_PROBLEM])
    return {name: row[name] for name in ("id", "source", "origin")} | {"error": problem}


def _decision(drop: Drop) -> dict[str, Any]:
    return {"reason": drop.reason.value, "value": drop.value, "threshold": drop.threshold}
