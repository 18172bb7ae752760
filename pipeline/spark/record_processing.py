"""The single pass over text: process raw records into rows with text, metrics, decision and duplicate keys.

1. Split a file into records.
2. Filter by URL, extract the text, measure and filter it, mask personal data (:class:`RecordProcessor`).
3. Search the text for evaluation items and compute its signature, a batch of rows at a time
   (:class:`BatchBuilder`).

Plain Python over Arrow batches, without Spark: ``clean.py`` maps it over the cluster.
"""

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from core.config import Config, LedgerConfig
from pipeline import document
from pipeline.analysis import BATCH_CHARACTERS as ANALYSED_CHARACTERS
from pipeline.analysis.normalized import NormalizedWords, normalized_words
from pipeline.decontamination import CONTAMINATION, Contamination, Decontaminator, EvaluationIndex, to_value
from pipeline.dedup.exact import exact_key, normalized_hash
from pipeline.dedup.minhash import signatures
from pipeline.dedup.parameters import parameters
from pipeline.extraction.guard import guard
from pipeline.filters import FilterInput, FilterPipeline, FilterResult
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.record import DATA_ERRORS, Damaged, InputSplit, Item, Record, Skipped, valid_text
from pipeline.readers.warc import indexed

Row = dict[str, Any]
"""A row of the table of records, without the columns that are null."""

BATCH_ROWS = 512
BATCH_CHARACTERS = 8_000_000
MAX_PROBLEM = 1000
"""Characters of the longest description of an unexpected error."""


def schema(kept: Sequence[str] = ()) -> pa.Schema:
    """Columns of the table of records: a document without its cluster, the decision and the duplicate keys.

    ``kept``: columns of the input that are passed through.

    ``text`` is null for dropped records. The columns from ``text_hash`` on describe the text as it would be
    published and are null for records that never had one. ``keys`` are that of the whole text and those of
    its bands; ``shingles`` the distinct ones, as the bytes of sorted uint32. ``error`` is set for damaged
    records, ``contamination`` for texts that contain evaluation items.
    """
    document_fields = [field for field in document.schema(kept) if not field.name.startswith("cluster")]
    added = [
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("sample", pa.string()),
        ("error", pa.string()),
        ("contamination", CONTAMINATION),
        ("text_hash", pa.string()),
        ("normalized_hash", pa.string()),
        ("words", pa.int64()),
        ("keys", pa.list_(pa.int64())),
        ("shingles", pa.binary()),
    ]
    return pa.schema([*document_fields, *(pa.field(name, dtype) for name, dtype in added)])


def process_splits(
    splits: Iterable[InputSplit], config: Config, index: EvaluationIndex | None = None
) -> Iterator[pa.RecordBatch]:
    """Process every record of every split into exactly one row, in batches of bounded size.

    ``index``: evaluation items to search for.
    """
    processor = RecordProcessor(config)
    return BatchBuilder(config, index).batches(processor.rows(_read_items(splits, config)))


def process_texts(
    splits: Iterable[InputSplit], config: Config, index: EvaluationIndex | None = None
) -> Iterator[pa.RecordBatch]:
    """Make a row of every record of tables of texts. Nothing is extracted or filtered."""
    rows = (text_row(split, item) for split, item in _read_items(splits, config))
    return BatchBuilder(config, index, keep_texts=config.dedup.output == "documents").batches(rows)


def sign_again(batches: Iterable[pa.RecordBatch], config: Config) -> Iterator[pa.RecordBatch]:
    """Replace the signatures in a table of records by those of the configuration, where there is a text."""
    rows = ((row, row["text"]) for batch in batches for row in batch.to_pylist())
    return BatchBuilder(config).batches(rows)


def _read_items(splits: Iterable[InputSplit], config: Config) -> Iterator[tuple[InputSplit, Item]]:
    if config.input.index.path:
        yield from indexed.read(splits)
        return
    for split in splits:
        for item in read(split, config.input.columns, config.input.keep_columns):
            yield split, item


class _Waiting(NamedTuple):
    """The row of an item whose text, if it has one, is not filtered yet."""

    origin: Row
    """What is known about the item without its text."""
    row: Row
    filter_input: FilterInput | None = None
    quality: float | None = None
    metadata: Mapping[str, str | None] | None = None

    @property
    def characters(self) -> int:
        """Characters that are held until the text is filtered."""
        text = len(self.filter_input.text) if self.filter_input is not None else 0
        return text + sum(len(value or "") for value in (self.metadata or {}).values())


class RecordProcessor:
    """Turns the items of a reader into rows. Reads no files."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.filters = FilterPipeline(config.filters)
        # Load models and lists first, so that an error in one of them is not taken for one in a record.
        self.filters.check_url("http://example.org/")
        self.filters.filter_text("text")
        gc.freeze()  # They stay: garbage collection, some 2% of the time, need not look at them again.
        self.extract = guard(config.extraction).extract

    def rows(self, items: Iterable[tuple[InputSplit, Item]]) -> Iterator[tuple[Row, str | None]]:
        """Yield each item's row without its signature, and its text as it would be published if it has one.

        Texts are filtered together, since that is faster: as many items wait as :mod:`~pipeline.analysis`
        analyses at once.
        """
        waiting: list[_Waiting] = []
        characters = 0
        for split, item in items:
            extracted = self._extract(split, item)
            if characters + extracted.characters > ANALYSED_CHARACTERS or len(waiting) >= BATCH_ROWS:
                yield from self._filter(waiting)
                waiting, characters = [], 0
            waiting.append(extracted)
            characters += extracted.characters
            if characters >= ANALYSED_CHARACTERS:  # a long text does not wait while the next one is read
                yield from self._filter(waiting)
                waiting, characters = [], 0
        yield from self._filter(waiting)

    def _extract(self, split: InputSplit, item: Item) -> _Waiting:
        row = _origin_row(split, item)
        if not isinstance(item, Record):
            return _Waiting(row, row)
        try:
            return self._extract_record(row, item, split)
        except DATA_ERRORS as error:
            return _Waiting(row, _damaged(row, error))

    def _extract_record(self, origin: Row, record: Record, split: InputSplit) -> _Waiting:
        row = origin | _declared(record)
        row["metrics"], drop = self.filters.check_url(record.url)
        if drop:
            return _Waiting(origin, row | _decision(drop))
        extracted = self.extract(record)
        if isinstance(extracted, Drop):
            return _Waiting(origin, row | _decision(extracted))
        row["title"] = record.title or extracted.title
        keep_lines = not {split.format, row["source"]}.isdisjoint(self.config.filters.keep_lines)
        filter_input = FilterInput(extracted.text, record.language, keep_lines)
        return _Waiting(origin, row, filter_input, record.quality, record.metadata or None)

    def _filter(self, waiting: Sequence[_Waiting]) -> Iterator[tuple[Row, str | None]]:
        """Yield the rows with the metrics of their texts and the decisions."""
        inputs = [each.filter_input for each in waiting if each.filter_input is not None]
        try:
            results = self.filters.filter_texts(inputs)
            rows = [
                self._filtered(each, each.filter_input.text, next(results))
                if each.filter_input is not None
                else (each.row, None)
                for each in waiting
            ]
        except DATA_ERRORS as error:
            if len(waiting) == 1:
                yield _damaged(waiting[0].origin, error), None
            else:
                for each in waiting:  # to find the one that raises
                    yield from self._filter([each])
        else:
            yield from rows

    def _filtered(self, waiting: _Waiting, text: str, filtered: FilterResult) -> tuple[Row, str | None]:
        declared = {} if waiting.quality is None else {"quality": waiting.quality}
        row = waiting.row | {
            "language": filtered.language,
            "language_score": filtered.language_score,
            "metrics": waiting.row["metrics"] | declared | filtered.metrics,
        }
        if filtered.drop:
            row |= _decision(filtered.drop) | {"sample": self._sample(row, text)}
        else:
            row |= {"text": filtered.text, "metadata": waiting.metadata}
        return row, filtered.text

    def _sample(self, row: Row, text: str) -> str | None:
        """Return the sample of a dropped text, masked like published ones."""
        if sampled(row, text, self.config.ledger) is None:
            return None
        start = text[: 2 * self.config.ledger.sample_characters]
        return sampled(row, self.filters.mask(start, row["language"]), self.config.ledger)


def text_row(split: InputSplit, item: Item) -> tuple[Row, str | None]:
    """Return the row of an item whose text is published as it is, without its signature, and the text."""
    row = _origin_row(split, item)
    if not isinstance(item, Record):
        return row, None
    body = item.body
    text = valid_text(body.decode("utf-8", "replace") if isinstance(body, bytes) else body)
    row |= _declared(item) | {
        "text": text,
        "language": item.language or None,
        "metadata": item.metadata or None,
    }
    if item.quality is not None:
        row["metrics"] = {"quality": item.quality}
    return row, text


def _origin_row(split: InputSplit, item: Item) -> Row:
    """Return what is known about an item without its text: where it is, and why it has none."""
    row: Row = {
        "id": document.document_id(split.file_name, item.origin.offset),
        "source": split.source,
        "origin": {"path": split.path, "offset": item.origin.offset, "length": item.origin.length},
    }
    if isinstance(item, Damaged):
        return row | {"error": item.error}
    if isinstance(item, Skipped):
        return row | {"url": item.url} | _decision(item.drop)
    return row


def _declared(record: Record) -> Row:
    row = {name: getattr(record, name) for name in ("url", "title", "fetched_at", "license")}
    return row | ({"source": record.source} if record.source else {})


class BatchBuilder:
    """Collects rows until there are enough for one signature call and one Arrow batch."""

    def __init__(
        self, config: Config, index: EvaluationIndex | None = None, *, keep_texts: bool = True
    ) -> None:
        self._ledger = config.ledger
        self._decontaminator = Decontaminator(index, config.decontamination) if index else None
        self._parameters = parameters(config.dedup)
        self._schema = schema(config.input.keep_columns)
        self._keep_texts = keep_texts
        self._rows: list[Row] = []
        self._texts: dict[int, str] = {}
        self._characters = 0

    def batches(self, rows: Iterable[tuple[Row, str | None]]) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded size, with the signatures of their texts."""
        for row, text in rows:
            if text is not None:
                self._texts[len(self._rows)] = text
            fields = [len(value) for value in row.values() if isinstance(value, str)]
            self._characters += len(text or "") + sum(fields)
            self._rows.append(row)
            if len(self._rows) >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
                yield self._flush()
        if self._rows:
            yield self._flush()

    def _flush(self) -> pa.RecordBatch:
        words = normalized_words(list(self._texts.values()))
        if self._decontaminator:
            words = self._decontaminate(self._decontaminator, words)
        found = zip(self._texts.items(), signatures(words, self._parameters), strict=True)
        for number, ((index, text), signature) in enumerate(found):
            normalized = normalized_hash(text)
            self._rows[index] |= {
                "text_hash": document.text_hash(text),
                "normalized_hash": normalized,
                "words": int(words.offsets[number + 1] - words.offsets[number]),
                "keys": [exact_key(normalized), *signature.keys.tolist()],
                "shingles": signature.shingles,
            }
            if not self._keep_texts:
                self._rows[index]["text"] = None
        result = _to_arrow(self._rows, self._schema)
        self._rows, self._texts, self._characters = [], {}, 0
        return result

    def _decontaminate(self, decontaminator: Decontaminator, words: NormalizedWords) -> NormalizedWords:
        """Decide about the contaminated texts, and return the words of all texts as they would be published.

        Texts that a filter dropped are searched too, so that other thresholds can be applied later.
        """
        texts = dict(self._texts)
        found = decontaminator.check(list(texts.values()), words)
        for (index, text), contamination in zip(texts.items(), found, strict=True):
            if contamination:
                decision = decontaminator.decide(text, contamination)
                self._texts[index] = text if isinstance(decision, Drop) else decision
                self._rows[index] |= self._contaminated(self._rows[index], text, contamination, decision)
        return words if texts == self._texts else normalized_words(list(self._texts.values()))

    def _contaminated(self, row: Row, text: str, found: Contamination, decision: Drop | str) -> Row:
        """Return the columns of a row that say what its text contains and what was decided."""
        columns: Row = {"contamination": to_value(found, text, decision)}
        if row.get("reason") is not None:
            return columns
        if not isinstance(decision, Drop):
            return columns | {"text": decision}
        sample = sampled(row, found.matches[0].passage, self._ledger)
        return columns | _decision(decision) | {"text": None, "metadata": None, "sample": sample}


def sampled(row: Row, text: str, settings: LedgerConfig) -> str | None:
    """Return the beginning of a text for the ledger, for a share of the records chosen by id."""
    chosen = int(row["id"][:8], 16) < settings.sample_share * 2**32
    return text[: settings.sample_characters] if chosen else None


def _to_arrow(rows: list[Row], columns: pa.Schema) -> pa.RecordBatch:
    """Convert rows; one that cannot be converted becomes a damaged record."""
    try:
        return pa.RecordBatch.from_pylist(rows, schema=columns)
    except (pa.ArrowException, *DATA_ERRORS) as error:
        if len(rows) == 1:
            return pa.RecordBatch.from_pylist([_damaged(rows[0], error)], schema=columns)
        return pa.concat_batches([_to_arrow([row], columns) for row in rows])


def _damaged(row: Row, error: Exception) -> Row:
    """Return the row of a record that raises an error where none is expected."""
    problem = valid_text(f"cannot be processed: {type(error).__name__}: {error}"[:MAX_PROBLEM])
    return {name: row[name] for name in ("id", "source", "origin")} | {"error": problem}


def _decision(drop: Drop) -> Row:
    return {"reason": drop.reason.value, "value": drop.value, "threshold": drop.threshold}
