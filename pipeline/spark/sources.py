"""Spark 4 data sources that read raw archives: ``warc``, ``wet``, ``wikipedia`` and ``books``.

::

    from pipeline.spark import sources
    sources.register(spark)
    pages = spark.read.format("warc").schema("url STRING, text STRING").load("s3://bucket/crawl/")

**Rows** have the columns of :data:`COLUMNS`. ``text`` is the extracted text, ``body`` the original bytes with
HTTP codings removed. ``id`` and ``origin`` equal those of ``jobs/clean.py``.

**Columns** are chosen by ``schema``, because Spark does not prune the columns of Python data sources. Without
``text`` nothing is decoded or extracted; without ``body`` no bytes cross to the JVM. The default is all
columns except ``body`` or, with ``extract=none``, except ``text``.

**Options**, in addition to the path or paths to load, which have the form of ``input.paths``:

``records``
    ``pages`` (default): one row per page; ``reason`` is set if it has no text. ``all``: also records that are
    not pages, with the ``reason``, and damaged records, with the ``error``.
``extract``
    Method that extracts text from HTML: ``default``, ``resiliparse`` or ``trafilatura``; ``none`` reads
    ``body`` instead.
``source``, ``splitBytes``, ``commoncrawl``
    As in the configuration's ``[input]``. ``format("wet")`` reads the WET files of ``commoncrawl:CRAWL``.

Partitions are splits of large files and groups of small ones. Executors need this package.
"""

import json
import sys
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
from pipeline.readers.grouping import MIN_TASKS, group_splits
from pipeline.readers.inputs import describe_skipped, plan
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
"""``media``: html, wikitext, wikihtml or text. ``charset``, ``language``: as declared by the source, may be
null."""

BATCH_ROWS = 512
BATCH_BYTES = 16_000_000

_OPTIONS = ("path", "paths", "records", "extract", "source", "splitBytes", "commoncrawl")
_INPUT_KEYS: Mapping[str, str] = MappingProxyType(
    {"source": "source", "splitBytes": "split_bytes", "commoncrawl": "commoncrawl"}
)


def register(spark: SparkSession) -> None:
    """Register the four formats with a session."""
    for source in (Warc, Wet, Wikipedia, Books):
        spark.dataSource.register(source)


class ArchiveSource(DataSource):
    """Base class of the four sources. Raises :class:`ConfigError` for an invalid option."""

    format: Literal["warc", "wikipedia", "books"]

    def __init__(self, options: Mapping[str, str]) -> None:
        by_name = {name.lower(): name for name in _OPTIONS}
        for name in options:
            if name.lower() not in by_name:
                near = nearest(name, _OPTIONS)
                raise ConfigError(f"option {name}: no such option; the nearest valid name is {near}")
        canonical = {by_name[name.lower()]: value for name, value in options.items()}
        self.all_records = _choice(canonical, "records", ("pages", "all")) == "all"
        self.method = _choice(canonical, "extract", ("default", "resiliparse", "trafilatura", "none"))
        self.input = self._input_config(canonical)

    @classmethod
    def name(cls) -> str:
        """Return the name of the format."""
        return cls.__name__.lower()

    def schema(self) -> StructType:
        """Return the default columns: all except ``body`` or, with ``extract=none``, except ``text``."""
        excluded = "text" if self.method == "none" else "body"
        return from_arrow_schema(pa.schema([column for column in COLUMNS if column.name != excluded]))

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return a reader of the columns. Raises :class:`ConfigError` for an unknown column or type."""
        known = from_arrow_schema(COLUMNS)
        for column in schema:
            if column.name not in known.names or known[column.name].dataType != column.dataType:
                raise ConfigError(
                    f"column {column.name} {column.dataType.simpleString()}: not one of "
                    f"{known.simpleString()}; correct the schema"
                )
        if self.method == "none" and "text" in schema.names:
            raise ConfigError("column text, option extract = none: no text is extracted; remove one of them")
        return ArchiveReader(
            self.input, self._extraction_config(), schema.names, all_records=self.all_records
        )

    def _extraction_config(self) -> config.ExtractionConfig:
        method = "default" if self.method == "none" else self.method
        return config.parse({"method": method}, config.ExtractionConfig)

    def _input_config(self, options: Mapping[str, str]) -> config.InputConfig:
        tree: dict[str, Any] = {_INPUT_KEYS[name]: options[name] for name in _INPUT_KEYS if name in options}
        if tree.get("split_bytes", "").isdecimal():
            tree["split_bytes"] = int(tree["split_bytes"])
        # Spark passes one path as "path" and several as "paths".
        paths = json.loads(options.get("paths", "[]")) + [options[key] for key in ("path",) if key in options]
        if not paths:
            raise ConfigError(f"format {self.name()}: no path, but one is required; add it to load()")
        tree |= {"format": self.format, "paths": [self._input_path(path) for path in paths]}
        return config.parse(tree, config.InputConfig)

    def _input_path(self, path: str) -> str:
        """Convert a path to the form of ``input.paths``."""
        return path


class Warc(ArchiveSource):
    """WARC and ARC files: pages, or texts that Common Crawl extracted."""

    format = "warc"


class Wet(Warc):
    """WET files: texts that Common Crawl extracted."""

    def _input_path(self, path: str) -> str:
        crawl, mark, query = path.partition("?")
        if crawl.startswith(f"{commoncrawl.SCHEME}CC-") and not crawl.endswith(("/warc", "/wet")):
            crawl += "/wet"
        return crawl + mark + query


class Wikipedia(ArchiveSource):
    """MediaWiki dumps."""

    format = "wikipedia"


class Books(ArchiveSource):
    """Books, one file each."""

    format = "books"


class ArchiveReader(DataSourceReader):
    """Reads splits of files into Arrow batches of the requested columns."""

    def __init__(
        self,
        settings: config.InputConfig,
        extraction: config.ExtractionConfig,
        columns: list[str],
        *,
        all_records: bool,
    ) -> None:
        self._input = settings
        self._extraction = extraction
        self._columns = pa.schema([COLUMNS.field(name) for name in columns])
        self._all_records = all_records

    def partitions(self) -> list[InputPartition]:
        """Return a partition for each group of splits. Prints a warning about files that are skipped."""
        planned = plan(self._input)
        if planned.skipped:
            print(f"warning: {describe_skipped(planned.skipped)}", file=sys.stderr)
        groups = group_splits(planned.splits, self._input.split_bytes, MIN_TASKS)
        return [InputPartition(group) for group in groups]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a group of splits in batches of bounded size."""
        splits = cast(list[InputSplit], partition.value)
        rows: list[dict[str, Any]] = []
        size = 0
        items = ((each, item) for each in splits for item in read(each, self._input.columns))
        for split, item in items:
            if isinstance(item, Record) or self._all_records:
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
        """Return the expensive columns, if requested."""
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


def _choice(options: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    """Return the value of an option; the first of ``values`` is the default."""
    value = options.get(name, values[0])
    if value not in values:
        raise ConfigError(f"option {name} = {value!r}: must be one of {', '.join(values)}; set another value")
    return value
