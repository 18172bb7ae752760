"""Two corpora to a sample that one machine can hold: what a classifier learns to tell apart.

1. Documents are counted by the first digits of their ids. No text is read, let alone extracted.
2. Those with the least ids, as many as are wanted, are read, prepared and hashed.

Ids are hashes themselves, so the sample is random, and the same wherever and in whatever pieces the corpus is
stored.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial, reduce
from itertools import accumulate, islice
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import manifest, storage
from core.config import Config, CorpusConfig, DedupConfig, IndexConfig
from core.errors import ConfigError, InputError
from pipeline import document
from pipeline.analysis import analyse
from pipeline.dedup.minhash import band_hashes
from pipeline.extraction.guard import guard
from pipeline.filters import language, url
from pipeline.filters.classifier.model import LONGEST, PASSAGE, prepare
from pipeline.filters.classifier.training import Corpora, Example
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.inputs import find_files
from pipeline.readers.record import InputSplit, Record
from pipeline.spark import documents, tables
from pipeline.spark.inputs import plan
from pipeline.spark.session.builder import session

DIGITS = 4
"""Of an id, by which documents are counted: the driver sees 65,536 numbers at most."""
EVERY = "g"
"""After all of them."""
ENCYCLOPEDIA = "wikipedia"
"""The source whose texts have nothing to do with each other, though they lie at one place."""
BATCH_ROWS = 512

_DOCUMENT = pa.schema([(name, pa.string()) for name in ("id", "source", "url", "path", "language", "text")])
_PREPARED = pa.schema([*_DOCUMENT, ("keys", pa.list_(pa.int64())), ("length", pa.int64())])
Batches = Iterator[pa.RecordBatch]


def corpora(config: Config) -> Corpora | None:
    """The two corpora, known to be there; None if none is given.

    Raises :class:`ConfigError` if only one is given, :class:`InputError` if there is nothing at a path and
    :class:`ManifestError` for a run that is unfinished.
    """
    given = {"positive": config.classifier.positive, "negative": config.classifier.negative}
    if not any(corpus.paths for corpus in given.values()):
        return None
    for name, corpus in given.items():
        if not corpus.paths:
            raise ConfigError(
                f"classifier.{name}.paths is empty: a classifier tells two corpora apart; give the other one"
            )
    inputs = [f"{name} {each}" for name, corpus in given.items() for each in _inputs(config, corpus)]
    return Corpora(inputs, partial(_draw, config))


def _inputs(config: Config, corpus: CorpusConfig) -> Iterator[str]:
    """What tells whether a corpus is still the same."""
    runs, files = _divide(corpus)
    for run in runs:
        yield f"run {documents.corpus_hash(run)}"
        found = manifest.read(run, "clean").facts["by_source"]
        if corpus.sources and not set(corpus.sources) & set(found):
            raise InputError(
                f"{run}: has no documents of {', '.join(corpus.sources)}, only of {', '.join(found)}; "
                "correct the corpus's sources"
            )
    for file in find_files(config.input.model_copy(update={"paths": tuple(files)})):
        yield f"{file.path} {file.size} {file.version}"


def _divide(corpus: CorpusConfig) -> tuple[list[str], list[str]]:
    """The paths that are finished runs, and the others."""
    parts: tuple[list[str], list[str]] = ([], [])
    for path in corpus.paths:
        parts[not storage.exists(storage.join(path, manifest.NAME))].append(path)
    return parts


def _draw(config: Config) -> list[Example]:
    """A sample of each corpus; texts of one site have one group, unless it makes up much of its corpus."""
    given = {True: config.classifier.positive, False: config.classifier.negative}
    places = (*given[True].paths, *given[False].paths)
    reads = config.input.model_copy(update={"paths": places})
    spark = session(config.model_copy(update={"input": reads}), "train_classifier")
    found = []
    for positive, corpus in given.items():
        print(f"classifier: reading {', '.join(corpus.paths)} …", flush=True)
        found += examples(
            sample(spark, config, corpus), config.classifier.held_out_fraction, positive=positive
        )
    return found


def sample(spark: SparkSession, config: Config, corpus: CorpusConfig) -> list[dict[str, Any]]:
    """Rows of at most ``classifier.rows_per_class`` documents of the corpus, ordered by id.

    ``text`` is prepared for the classifier, and ``keys`` are those under which near copies meet.
    """
    table, digits = _table(spark, config, corpus), F.substring("id", 1, DIGITS)
    count = config.classifier.rows_per_class
    counts = table(None).groupBy(digits.alias("digits")).count().orderBy("digits").collect()
    sums = accumulate(found for _, found in counts)
    last = next((row[0] for row, found in zip(counts, sums, strict=True) if found >= count), EVERY)
    chosen = table(last).where(digits <= last)
    prepared = chosen.mapInArrow(partial(_prepare, config.dedup), from_arrow_schema(_PREPARED)).cache()
    prepared.count()  # in parallel; what follows takes one partition after the other
    rows = sorted((row.asDict() for row in prepared.toLocalIterator()), key=lambda row: str(row["id"]))
    prepared.unpersist()
    return rows[:count]


def _table(spark: SparkSession, config: Config, corpus: CorpusConfig) -> Callable[[str | None], DataFrame]:
    """The corpus's documents up to an id; for None all of them, where it costs something without text."""
    runs, files = _divide(corpus)
    reads = config.input.model_copy(update={"paths": tuple(files), "index": IndexConfig()})
    settings = config.model_copy(update={"input": reads})
    splits = plan(spark, reads).splits if files else None

    def documents_until(last: str | None) -> DataFrame:
        parts = [_of_run(spark, run) for run in runs]
        if splits is not None:
            run = partial(_of_files, settings, last)
            parts.append(splits.mapInArrow(run, from_arrow_schema(_DOCUMENT)))
        table = reduce(DataFrame.unionByName, parts)
        return table.where(F.col("source").isin(*corpus.sources)) if corpus.sources else table

    return documents_until


def _of_run(spark: SparkSession, run: str) -> DataFrame:
    table = tables.read(spark, storage.join(run, "documents"), document.schema())
    text = F.substring("text", 1, LONGEST).alias("text")
    return table.select("id", "source", "url", F.col("origin.path").alias("path"), "language", text)


def _of_files(config: Config, last: str | None, batches: Batches) -> Batches:
    """The documents of raw files; those up to an id with their text, where there is one."""
    splits = (InputSplit(**row) for batch in batches for row in batch.to_pylist())
    rows = (row for split in splits for row in _of_split(config, last, split))
    while chunk := list(islice(rows, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(chunk, schema=_DOCUMENT)


def _of_split(config: Config, last: str | None, split: InputSplit) -> Iterator[dict[str, Any]]:
    extract = guard(config.extraction).extract
    for item in read(split, config.input.columns):
        name = document.document_id(split.file_name, item.origin.offset)
        if not isinstance(item, Record) or (last is not None and name[:DIGITS] > last):
            continue
        row = {"id": name, "source": split.source, "url": item.url, "path": split.path}
        if last is not None:
            if isinstance(extracted := extract(item), Drop):
                continue
            code, _ = language.identify(extracted.text, item.language)
            row |= {"language": code, "text": extracted.text[:LONGEST]}
        yield row


def _prepare(dedup: DedupConfig, batches: Batches) -> Batches:
    """Documents as a classifier sees them, with their keys; without those that no words are left of."""
    for batch in batches:
        rows = batch.to_pylist()
        keys = band_hashes([analyse(row["text"]).word_hashes for row in rows], dedup)
        found = [
            row | {"text": line, "keys": own, "length": len(row["text"])}
            for row, own in zip(rows, keys, strict=True)
            if (line := prepare(row["text"][:PASSAGE]))
        ]
        yield pa.RecordBatch.from_pylist(found, schema=_PREPARED)


def examples(rows: Sequence[dict[str, Any]], held_out_fraction: float, *, positive: bool) -> list[Example]:
    """Rows of a sample as examples of one class.

    The texts of a site are one group, and those of a file without addresses: a book's chapters. Articles of
    an encyclopedia are each for themselves, and all texts of a place that has more than are to be held out.
    """
    places = [row["id"] if row["source"] == ENCYCLOPEDIA else _place(row) for row in rows]
    sizes = Counter(places)
    return [
        Example(
            text=row["text"],
            positive=positive,
            language=row["language"] or "",
            source=row["source"],
            url=row["url"] or "",
            group=place if sizes[place] <= len(rows) * held_out_fraction else row["id"],
            keys=frozenset(row["keys"]),
            length=row["length"],
        )
        for row, place in zip(rows, places, strict=True)
    ]


def _place(row: dict[str, Any]) -> str:
    """The host of a document's address; without one, the file that it comes from."""
    host, _ = url.host_and_address(row["url"] or "")
    return host.removeprefix("www.") or str(row["path"])
