"""Raw archives as tables of any Spark 4 session: ``spark.read.format("warc")``, ``"wet"``, ``"wikipedia"``,
``"books"``.

::

    from pipeline.spark import sources
    sources.register(spark)
    pages = spark.read.format("warc").schema("url STRING, text STRING").load("s3://bucket/crawl/")

**Rows** have the columns of :data:`COLUMNS`. ``text`` is what a page says, ``body`` its bytes as they came,
without HTTP codings. ``id`` and ``origin`` are those that ``jobs/clean.py`` gives. Spark does not tell a
Python source which **columns** a query needs, so ``schema`` says it: without ``text`` nothing is decoded or
extracted, without ``body`` no bytes cross to the JVM. Without a schema there are all columns but ``body``;
with ``extract=none``, all but ``text``.

**Options**, besides the path or paths to load, which may be whatever ``input.paths`` may:

``records``
    ``pages`` (default): a row for each page; ``reason`` says why one has no text. ``all``: also for records
    that are no pages, with the ``reason``, and for damage, with the ``error``.
``extract``
    ``default``, ``resiliparse`` or ``trafilatura``, the way from HTML to text; ``none``: ``body`` instead.
``source``, ``splitBytes``, ``commoncrawl``
    As in the configuration's ``[input]``. ``format("wet")`` takes ``commoncrawl:CRAWL`` for its WET files.

Partitions are splits of files: one large file feeds many tasks. Executors need this package.
"""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, cast

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from core import config
from core.errors import ConfigError
from core.messages import nearest
from pipeline import document
from pipeline.extraction.guard import guard
from pipeline.ledger import Drop
from pipeline.readers import commoncrawl, read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, InputSplit, Item, Record, Skipped

COLUMNS = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("url", pa.string()),
        ("title", pa.string()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
        ("language", pa.string()),
        ("license", pa.string()),
        ("media", pa.string()),
        ("charset", pa.string()),
        ("text", pa.string()),
        ("body", pa.binary()),
        ("origin", document.ORIGIN),
        ("reason", pa.string()),
        ("error", pa.string()),
    ]
)
"""``media``: html, wikitext, text and the like; ``charset``, ``language``: what the source declares, if it
does."""

BATCH_ROWS = 512
BATCH_BYTES = 16_000_000

_OPTIONS = ("path", "paths", "records", "extract", "source", "splitBytes", "commoncrawl")
_INPUT_KEYS: Mapping[str, str] = MappingProxyType(
    {"source": "source", "splitBytes": "split_bytes", "commoncrawl": "commoncrawl"}
)


def register(spark: SparkSession) -> None:
    """Make the four formats known to the session."""
    for source in (Warc, Wet, Wikipedia, Books):
        spark.dataSource.register(source)


class Archive(DataSource):
    """What the four sources have in common. Raises :class:`ConfigError` for an option that means nothing."""

    format: Literal["warc", "wikipedia", "books"]

    def __init__(self, options: Mapping[str, str]) -> None:
        by_name = {name.lower(): name for name in _OPTIONS}
        for name in options:
            if name.lower() not in by_name:
                near = nearest(name, _OPTIONS)
                raise ConfigError(f"option {name}: no such option; the nearest valid name is {near}")
        given = {by_name[name.lower()]: value for name, value in options.items()}
        self.every = _one_of(given, "records", ("pages", "all")) == "all"
        self.method = _one_of(given, "extract", ("default", "resiliparse", "trafilatura", "none"))
        self.input = self._input(given)

    @classmethod
    def name(cls) -> str:
        """The name that ``format`` takes."""
        return cls.__name__.lower()

    def schema(self) -> StructType:
        """All columns but the one that is not asked for: the bytes, or the text."""
        absent = "text" if self.method == "none" else "body"
        return from_arrow_schema(pa.schema([column for column in COLUMNS if column.name != absent]))

    def reader(self, schema: StructType) -> DataSourceReader:
        """A reader of these columns. Raises :class:`ConfigError` for one that there is not, or not so."""
        known = from_arrow_schema(COLUMNS)
        for column in schema:
            if column.name not in known.names or known[column.name].dataType != column.dataType:
                raise ConfigError(
                    f"column {column.name} {column.dataType.simpleString()}: not one of "
                    f"{known.simpleString()}; correct the schema"
                )
        if self.method == "none" and "text" in schema.names:
            raise ConfigError(
                "column text, option extract = none: nobody would fill it; leave one of them out"
            )
        return ArchiveReader(self.input, self._extraction(), schema.names, every=self.every)

    def _extraction(self) -> config.ExtractionConfig:
        method = "default" if self.method == "none" else self.method
        return config.parse({"method": method}, config.ExtractionConfig)

    def _input(self, given: Mapping[str, str]) -> config.InputConfig:
        tree: dict[str, Any] = {_INPUT_KEYS[name]: given[name] for name in _INPUT_KEYS if name in given}
        if tree.get("split_bytes", "").isdecimal():
            tree["split_bytes"] = int(tree["split_bytes"])
        # Spark has one name for a path and another for several.
        paths = json.loads(given.get("paths", "[]")) + [given[name] for name in ("path",) if name in given]
        if not paths:
            raise ConfigError(f"format {self.name()}: no path, which must be given; add one to load()")
        tree |= {"format": self.format, "paths": [self._meant(path) for path in paths]}
        return config.parse(tree, config.InputConfig)

    def _meant(self, path: str) -> str:
        """A path as ``input.paths`` has it."""
        return path


class Warc(Archive):
    """Web archives, and ARC files: pages, and what Common Crawl made of them."""

    format = "warc"


class Wet(Warc):
    """The texts that Common Crawl extracted: conversion records."""

    def _meant(self, path: str) -> str:
        crawl, mark, query = path.partition("?")
        if crawl.startswith(f"{commoncrawl.SCHEME}CC-") and not crawl.endswith(("/warc", "/wet")):
            crawl += "/wet"
        return crawl + mark + query


class Wikipedia(Archive):
    """MediaWiki dumps."""

    format = "wikipedia"


class Books(Archive):
    """Books, one file each."""

    format = "books"


class ArchiveReader(DataSourceReader):
    """Reads splits of files into Arrow batches of the wanted columns."""

    def __init__(
        self,
        settings: config.InputConfig,
        extraction: config.ExtractionConfig,
        columns: list[str],
        *,
        every: bool,
    ) -> None:
        self._input = settings
        self._extraction = extraction
        self._columns = pa.schema([COLUMNS.field(name) for name in columns])
        self._every = every

    def partitions(self) -> list[InputPartition]:
        """One for each split of the files."""
        return [InputPartition(split) for split in plan_splits(self._input)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """The rows of a split in batches of bounded size."""
        split = cast(InputSplit, partition.value)
        rows: list[dict[str, Any]] = []
        size = 0
        for item in read(split, self._input.columns):
            if isinstance(item, Record) or self._every:
                rows.append(self._row(split, item))
                size += len(rows[-1].get("text") or "") + len(rows[-1].get("body") or b"")
            if len(rows) == BATCH_ROWS or size > BATCH_BYTES:
                yield pa.RecordBatch.from_pylist(rows, schema=self._columns)
                rows, size = [], 0
        if rows:
            yield pa.RecordBatch.from_pylist(rows, schema=self._columns)

    def _row(self, split: InputSplit, item: Item) -> dict[str, Any]:
        row: dict[str, Any] = {
            "id": document.document_id(split.file_name, item.origin.offset),
            "source": split.source,
            "origin": {"path": split.path, "offset": item.origin.offset, "length": item.origin.length},
        }
        if isinstance(item, Damaged):
            return row | {"error": item.error}
        if isinstance(item, Skipped):
            return row | {"url": item.url, "reason": item.drop.reason.value}
        names = ("url", "title", "fetched_at", "language", "license", "media", "charset")
        return row | {name: getattr(item, name) or None for name in names} | self._content(item)

    def _content(self, record: Record) -> dict[str, Any]:
        """The columns that cost something, where they are wanted."""
        content: dict[str, Any] = {}
        if "body" in self._columns.names:
            body = record.body
            content["body"] = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
        if "text" in self._columns.names:
            extracted = guard(self._extraction).extract(record)
            if isinstance(extracted, Drop):
                return content | {"reason": extracted.reason.value}
            content |= {"text": extracted.text, "title": record.title or extracted.title or None}
        return content


def _one_of(given: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    """An option's value; the first of ``values`` is the default."""
    value = given.get(name, values[0])
    if value not in values:
        raise ConfigError(f"option {name} = {value!r}: must be one of {', '.join(values)}; set another value")
    return value
