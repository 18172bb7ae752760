"""Training sample of a classifier: a random sample of two corpora that fits on one machine.

1. Count documents by the first digits of their ids, without reading text.
2. Read, prepare and hash the documents with the lowest ids, as many as are requested.

Ids are hashes, so the sample is random, and it does not depend on the location or partitioning of the corpus.
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
from pipeline.analysis.normalized import normalized_words
from pipeline.dedup.minhash import signatures
from pipeline.dedup.parameters import parameters
from pipeline.extraction.guard import guard
from pipeline.filters import language, url
from pipeline.filters.classifier import stage
from pipeline.filters.classifier.model import MAX_CHARACTERS, QUALITY_CHARACTERS, prepare
from pipeline.filters.classifier.training import Corpora, Example
from pipeline.ledger import Drop
from pipeline.readers import commoncrawl, read
from pipeline.readers.inputs import find_files
from pipeline.readers.record import InputSplit, Record
from pipeline.spark import documents, tables
from pipeline.spark.inputs import plan_inputs
from pipeline.spark.session.builder import session
from pipeline.spark.steps import step

ID_DIGITS = 4
"""Leading digits of the ids by which documents are counted. The driver collects at most 65,536 counts."""
ALL_IDS = "g"
"""Sorts after every hexadecimal digit."""
ENCYCLOPEDIA = "wikipedia"
"""Source whose texts are independent of each other although they share a host."""
BATCH_ROWS = 512

_DOCUMENT = pa.schema([(name, pa.string()) for name in ("id", "source", "url", "path", "language", "text")])
_PREPARED = pa.schema([*_DOCUMENT, ("keys", pa.list_(pa.int64())), ("length", pa.int64())])
Batches = Iterator[pa.RecordBatch]


def validate(config: Config) -> None:
    """Raise an error for settings that training would reject. Needs no Spark and no remote files."""
    configured = _configured(config)
    stage.validate(config, corpora=bool(configured))
    for corpus in configured.values():
        for path in corpus.paths:
            if not path.startswith(commoncrawl.SCHEME):
                storage.check_local(path)


def corpora(config: Config) -> Corpora | None:
    """Return the two configured corpora after checking that they exist, or None if none is configured.

    Raises :class:`ConfigError` if only one is configured, :class:`InputError` if a path holds nothing and
    :class:`ManifestError` for an unfinished run.
    """
    if not (configured := _configured(config)):
        return None
    inputs = [f"{name} {each}" for name, corpus in configured.items() for each in _inputs(config, corpus)]
    return Corpora(inputs, partial(_draw, config))


def _configured(config: Config) -> dict[str, CorpusConfig]:
    """Return both corpora by name, or none; raises :class:`ConfigError` if only one is configured."""
    corpora = {"positive": config.classifier.positive, "negative": config.classifier.negative}
    if not any(corpus.paths for corpus in corpora.values()):
        return {}
    for name, corpus in corpora.items():
        if not corpus.paths:
            raise ConfigError(
                f"classifier.{name}.paths is empty: a classifier needs a positive and a negative corpus; "
                "set both"
            )
    return corpora


def _inputs(config: Config, corpus: CorpusConfig) -> Iterator[str]:
    """Yield identifiers of a corpus's contents, which change when the contents do."""
    runs, files = _runs_and_files(corpus)
    for run in runs:
        yield f"run {documents.corpus_hash(run)}"
        found = manifest.read(run, *manifest.CORPUS_STAGES).facts["by_source"]
        if corpus.sources and not set(corpus.sources) & set(found):
            raise InputError(
                f"{run}: has no documents of {', '.join(corpus.sources)}, only of {', '.join(found)}; "
                "correct the corpus's sources"
            )
    for file in find_files(config.input.model_copy(update={"paths": tuple(files)})):
        yield f"{file.path} {file.size} {file.version}"


def _runs_and_files(corpus: CorpusConfig) -> tuple[list[str], list[str]]:
    """Separate paths of finished runs from paths of raw files."""
    parts: tuple[list[str], list[str]] = ([], [])
    for path in corpus.paths:
        parts[not storage.exists(storage.join(path, manifest.NAME))].append(path)
    return parts


def _draw(config: Config) -> list[Example]:
    """Return a sample of each corpus, the positive one first."""
    corpora_by_label = {True: config.classifier.positive, False: config.classifier.negative}
    paths = (*corpora_by_label[True].paths, *corpora_by_label[False].paths)
    input_section = config.input.model_copy(update={"paths": paths})
    spark = session(config.model_copy(update={"input": input_section}), "train_classifier")
    drawn = []
    for positive, corpus in corpora_by_label.items():
        with step("positive" if positive else "negative", f"classifier: reading {', '.join(corpus.paths)}"):
            rows = sample(spark, config, corpus)
        drawn += examples(rows, config.classifier.held_out_fraction, positive=positive)
    return drawn


def sample(spark: SparkSession, config: Config, corpus: CorpusConfig) -> list[dict[str, Any]]:
    """Return rows of at most ``classifier.rows_per_class`` documents of the corpus, ordered by id.

    ``text`` is prepared for the classifier; ``keys`` are MinHash band hashes, shared by near duplicates.
    """
    documents_until, digits = _documents(spark, config, corpus), F.substring("id", 1, ID_DIGITS)
    count = config.classifier.rows_per_class
    counts = documents_until(None).groupBy(digits.alias("digits")).count().orderBy("digits").collect()
    sums = accumulate(found for _, found in counts)
    last = next((row[0] for row, found in zip(counts, sums, strict=True) if found >= count), ALL_IDS)
    chosen = documents_until(last).where(digits <= last)
    prepared = chosen.mapInArrow(partial(_prepare, config.dedup), from_arrow_schema(_PREPARED)).cache()
    prepared.count()  # Fills the cache in parallel; toLocalIterator computes one partition at a time.
    rows = sorted((row.asDict() for row in prepared.toLocalIterator()), key=lambda row: str(row["id"]))
    prepared.unpersist()
    return rows[:count]


def _documents(
    spark: SparkSession, config: Config, corpus: CorpusConfig
) -> Callable[[str | None], DataFrame]:
    """Return a function from the leading digits of an id to the table of the corpus's documents up to it.

    With None it returns all documents, those of raw files without text, which would have to be extracted.
    """
    runs, files = _runs_and_files(corpus)
    input_section = config.input.model_copy(update={"paths": tuple(files), "index": IndexConfig()})
    settings = config.model_copy(update={"input": input_section})
    splits = plan_inputs(spark, input_section).splits() if files else None

    def documents_until(last: str | None) -> DataFrame:
        parts = [_run_documents(spark, run) for run in runs]
        if splits is not None:
            read_splits = partial(_file_documents, settings, last)
            parts.append(splits.mapInArrow(read_splits, from_arrow_schema(_DOCUMENT)))
        table = reduce(DataFrame.unionByName, parts)
        return table.where(F.col("source").isin(*corpus.sources)) if corpus.sources else table

    return documents_until


def _run_documents(spark: SparkSession, run: str) -> DataFrame:
    table = tables.read(spark, storage.join(run, "documents"), document.schema())
    text = F.substring("text", 1, MAX_CHARACTERS).alias("text")
    return table.select("id", "source", "url", F.col("origin.path").alias("path"), "language", text)


def _file_documents(config: Config, last: str | None, batches: Batches) -> Batches:
    """Yield the documents of input splits up to the id digits ``last``; for None all, without text."""
    splits = (InputSplit(**row) for batch in batches for row in batch.to_pylist())
    rows = (row for split in splits for row in _split_documents(config, last, split))
    while chunk := list(islice(rows, BATCH_ROWS)):
        yield pa.RecordBatch.from_pylist(chunk, schema=_DOCUMENT)


def _split_documents(config: Config, last: str | None, split: InputSplit) -> Iterator[dict[str, Any]]:
    extract = guard(config.extraction).extract
    for item in read(split, config.input.columns):
        identifier = document.document_id(split.file_name, item.origin.offset)
        if not isinstance(item, Record) or (last is not None and identifier[:ID_DIGITS] > last):
            continue
        row = {"id": identifier, "source": split.source, "url": item.url, "path": split.path}
        if last is not None:
            if isinstance(extracted := extract(item), Drop):
                continue
            code, _ = language.identify(extracted.text, item.language)
            row |= {"language": code, "text": extracted.text[:MAX_CHARACTERS]}
        yield row


def _prepare(dedup: DedupConfig, batches: Batches) -> Batches:
    """Prepare documents for the classifier and add their keys; documents without words are dropped."""
    for batch in batches:
        rows = batch.to_pylist()
        words = normalized_words([row["text"] for row in rows])
        found = [
            row | {"text": line, "keys": signature.keys, "length": len(row["text"])}
            for row, signature in zip(rows, signatures(words, parameters(dedup)), strict=True)
            if (line := prepare(row["text"][:QUALITY_CHARACTERS]))
        ]
        yield pa.RecordBatch.from_pylist(found, schema=_PREPARED)


def examples(rows: Sequence[dict[str, Any]], held_out_fraction: float, *, positive: bool) -> list[Example]:
    """Convert rows of a sample to examples of one class, in groups that are held out together.

    A group is the texts of one host or, without addresses, of one file, such as a book's chapters. Articles
    of an encyclopedia are groups of their own, and so are texts of a group larger than the fraction to hold
    out.
    """
    origins = [row["id"] if row["source"] == ENCYCLOPEDIA else _host_or_file(row) for row in rows]
    sizes = Counter(origins)
    return [
        Example(
            text=row["text"],
            positive=positive,
            language=row["language"] or "",
            source=row["source"],
            url=row["url"] or "",
            group=origin if sizes[origin] <= len(rows) * held_out_fraction else row["id"],
            keys=frozenset(row["keys"]),
            length=row["length"],
        )
        for row, origin in zip(rows, origins, strict=True)
    ]


def _host_or_file(row: dict[str, Any]) -> str:
    """Return the host of a document's address, or without one the path of its file."""
    return url.site(row["url"] or "") or str(row["path"])
