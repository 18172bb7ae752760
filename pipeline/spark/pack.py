"""Documents to token shards.

1. One pass over text tokenizes every document and decides its split. The tokens lie in ``shards/work`` with a
   mark when done: a run cut short goes on from there.
2. The tokens of each split and source say how many groups its documents are dealt into, by their order hash.
   Only tokens shuffle. One task packs one group and writes its shard file, so that a task's memory is
   bounded by ``pack.shard_sequences`` and the bytes depend on the set of documents alone.
3. The driver sees one row per file and writes the manifest.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import shards, storage
from core.config import Config, PackConfig, require, resolved
from core.manifest import FileEntry, Manifest, Stage, fingerprint
from core.shards import Header, Totals, WrittenFile, packing
from core.tokenizer import SentencePieceTokenizer
from pipeline.spark import documents, tables

STAGE = shards.STAGE
FILL = 0.9
"""Expected share of ``shard_sequences`` in a file: groups dealt by hash differ in size, and the rare group
that needs more than one file gets a second."""

Batches = Iterator[pa.RecordBatch]
Group = tuple[shards.SplitName, str, int]
"""Split, source and number of a group."""


def pack(spark: SparkSession, config: Config) -> Manifest:
    """Run the plan into ``shards/`` of the output; the manifest of what stands there, done now or before."""
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    corpus = documents.corpus_hash(out)
    tokenizer = SentencePieceTokenizer.load(f"{out}/tokenizer")
    settings = resolved(config, "pack")
    inputs = [corpus, tokenizer.sha256]
    stage = Stage(
        STAGE,
        f"{out}/shards",
        fingerprint(STAGE, settings, inputs),
        settings,
        inputs,
        owned=("train", "validation", "work"),
        overwrite=config.output.overwrite,
    )
    if done := stage.begin():
        return done

    header = Header(
        sequence_length=config.pack.sequence_length,
        vocabulary_size=tokenizer.vocabulary_size,
        bos=tokenizer.bos,
        eos=tokenizer.eos,
        pad=tokenizer.pad,
        tokenizer_sha256=tokenizer.sha256,
        packing=packing.METHOD,
        corpus=corpus,
    )
    with tables.timed(stage.folder, f"{STAGE}: documents to token shards"):
        files = _files(spark, out, tokenizer, header, config.pack)
    storage.remove(f"{stage.folder}/work")
    return shards.publish(stage, files, header)


def _files(
    spark: SparkSession, out: str, tokenizer: SentencePieceTokenizer, header: Header, settings: PackConfig
) -> list[WrittenFile]:
    tokens = _tokenize(spark, out, tokenizer, settings)
    groups = _groups(tokens, settings)
    print(f"{STAGE}: packing {len(groups)} groups …", flush=True)
    write = partial(
        write_groups,
        groups=groups,
        folder=f"{out}/shards",
        header=header,
        shard_sequences=settings.shard_sequences,
        byte_lengths=tokenizer.byte_lengths(),
    )
    written = _deal(spark, tokens, groups).mapInArrow(write, from_arrow_schema(_written_schema()))
    return [_from_row(**row.asDict()) for row in written.collect()]


def _tokenize(
    spark: SparkSession, out: str, tokenizer: SentencePieceTokenizer, settings: PackConfig
) -> DataFrame:
    """The table of tokens, made unless an earlier attempt finished it."""

    def run(batches: Batches) -> Batches:
        return (packing.tokenize(batch, tokenizer, settings.validation_share) for batch in batches)

    schema = packing.tokenized_schema()

    def make(folder: str) -> None:
        tables.write(documents.read(spark, out).mapInArrow(run, from_arrow_schema(schema)), folder)

    table = f"{out}/shards/work/tokens"
    tables.write_once(table, make, f"{STAGE}: tokenizing")
    return tables.read(spark, table, schema)


def _groups(tokens: DataFrame, settings: PackConfig) -> list[Group]:
    """All groups, those of a split and source in succession; how many follows from the tokens there are."""
    per_group = FILL * settings.shard_sequences * (settings.sequence_length + 1)
    totals = tokens.groupBy("split", "source").agg(F.sum("token_count")).collect()
    return [
        (split, source, number)
        for split, source, total in sorted(map(tuple, totals))
        for number in range(math.ceil(total / per_group))
    ]


def _deal(spark: SparkSession, tokens: DataFrame, groups: list[Group]) -> DataFrame:
    """Every document to its group, each group a partition of its own."""
    first: dict[tuple[str, str], int] = {}
    count: dict[tuple[str, str], int] = defaultdict(int)
    for index, (split, source, _) in enumerate(groups):
        first.setdefault((split, source), index)
        count[split, source] += 1
    dealt = [(*key, first[key], count[key]) for key in first]
    places = spark.createDataFrame(dealt, "split string, source string, first int, count int")
    group = (F.col("first") + F.col("order") % F.col("count")).cast("int").alias("group")
    placed = tokens.join(F.broadcast(places), ["split", "source"]).select(group, "document_id", "tokens")
    return placed.repartitionById(len(groups), "group")


def write_groups(
    batches: Iterable[pa.RecordBatch],
    groups: list[Group],
    folder: str,
    header: Header,
    shard_sequences: int,
    byte_lengths: npt.NDArray[np.int32],
) -> Batches:
    """Pack and write the groups of one task; a row per file."""
    dealt: dict[int, list[tuple[bytes, npt.NDArray[np.unsignedinteger]]]] = defaultdict(list)
    for batch in batches:
        columns = (batch.column(name).to_pylist() for name in ("group", "document_id", "tokens"))
        for group, document_id, tokens in zip(*columns, strict=True):
            dealt[group].append((document_id, np.frombuffer(tokens, header.dtype)))
    for group in sorted(dealt):
        split, source, number = groups[group]
        rows = packing.pack(dealt.pop(group), header)
        for piece, first in enumerate(range(0, len(rows.tokens), shard_sequences)):
            part = f"{number:05d}" + (f"_{piece:03d}" if piece else "")
            some = rows.take(np.arange(first, min(first + shard_sequences, len(rows.tokens))))
            file = shards.write_file(folder, split, source, part, some, header, byte_lengths)
            yield pa.RecordBatch.from_pylist([_to_row(file)], schema=_written_schema())


def _written_schema() -> pa.Schema:
    texts = [(name, pa.string()) for name in ("split", "source", "path", "sha256")]
    return pa.schema([*texts, *((name, pa.int64()) for name in ("size", *Totals.model_fields))])


def _to_row(file: WrittenFile) -> dict[str, object]:
    return {"split": file.split, "source": file.source} | file.entry.model_dump() | file.totals.model_dump()


def _from_row(
    split: shards.SplitName, source: str, path: str, sha256: str, size: int, **totals: int
) -> WrittenFile:
    entry = FileEntry(path=path, size=size, rows=totals["rows"], sha256=sha256)
    return WrittenFile(split, source, entry, Totals(**totals))
