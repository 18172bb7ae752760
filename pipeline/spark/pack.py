"""Pack documents into token shards.

1. Tokenize every document and decide its split, in one pass over text. The tokens are kept in ``shards/work``
   with a mark when finished; an interrupted run resumes there.
2. Divide the documents of each split and source into groups by their order hash. The number of groups follows
   from the number of tokens.
3. Pack each group in one task and write its shard file. Only tokens shuffle, a task's memory is bounded by
   ``pack.shard_sequences``, and the bytes depend only on the set of documents.
4. Collect one row per file in the driver, compare their tokens with those that were encoded, and publish the
   manifest.
"""

import math
import time
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
from core.manifest import FileEntry, Manifest, fingerprint
from core.shards import Header, Languages, TokenCounts, Totals, WrittenFile, packing
from core.shards.breaks import TextBreaks
from core.stage import Stage
from core.tokenizer import Tokenizer, load_published
from pipeline.languages import codes
from pipeline.spark import documents, tables
from pipeline.spark.steps import recorded, step

STAGE = shards.STAGE
FILL = 0.9
"""Expected share of ``shard_sequences`` in a file. Groups differ in size, because documents are assigned by
hash; the rare group that exceeds a file gets a second."""

Batches = Iterator[pa.RecordBatch]
Group = tuple[shards.SplitName, str, int]
"""Split, source and number of a group."""


def pack(spark: SparkSession, config: Config) -> Manifest:
    """Run the stage in ``shards/`` of the output and return its manifest. Does nothing if already done."""
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    corpus = documents.corpus_hash(out)
    tokenizer = load_published(f"{out}/tokenizer")
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
    with stage.claim() as done:
        return done or _run(spark, stage, out, tokenizer, corpus, config.pack)


def _run(
    spark: SparkSession, stage: Stage, out: str, tokenizer: Tokenizer, corpus: str, settings: PackConfig
) -> Manifest:
    """Write the shards to the claimed folder and publish them."""
    header = packing.make_header(
        tokenizer, sequence_length=settings.sequence_length, corpus=corpus, method=settings.method
    )
    started = time.monotonic()
    with recorded(stage):
        files, languages = _write_shards(spark, out, tokenizer, header, settings)
        storage.remove(f"{stage.folder}/work")
        made = shards.publish(stage, files, header, languages)
    tables.write_timing(stage.folder, f"{STAGE}: documents to token shards", time.monotonic() - started)
    return made


def _write_shards(
    spark: SparkSession, out: str, tokenizer: Tokenizer, header: Header, settings: PackConfig
) -> tuple[list[WrittenFile], Languages]:
    tokens = _tokenize(spark, out, tokenizer, settings)
    with step("counts", f"{STAGE}: counting tokens"):
        languages = _count_tokens(tokens, settings)
    groups = _plan_groups(languages, settings)
    write = partial(
        write_groups,
        groups=groups,
        folder=f"{out}/shards",
        header=header,
        shard_sequences=settings.shard_sequences,
        byte_lengths=tokenizer.byte_lengths(),
        breaks=TextBreaks(tokenizer).before,
    )
    written = _assign_groups(spark, tokens, groups).mapInArrow(write, from_arrow_schema(_written_schema()))
    with step("shards", f"{STAGE}: packing {len(groups)} groups"):
        return [_from_row(**row.asDict()) for row in written.collect()], languages


def _tokenize(spark: SparkSession, out: str, tokenizer: Tokenizer, settings: PackConfig) -> DataFrame:
    """Return the table of tokens, written unless an earlier attempt finished it."""

    def run(batches: Batches) -> Batches:
        share, rehydrate = settings.validation_share, settings.rehydrate
        return (packing.tokenize(batch, tokenizer, share, rehydrate=rehydrate) for batch in batches)

    schema = packing.tokenized_schema()

    def make(folder: str) -> None:
        tables.write(documents.read(spark, out).mapInArrow(run, from_arrow_schema(schema)), folder)

    table = f"{out}/shards/work/tokens"
    tables.write_once(table, make, f"{STAGE}: tokenizing")
    return tables.read(spark, table, schema)


def _count_tokens(tokens: DataFrame, settings: PackConfig) -> Languages:
    """Count documents and tokens by split, source and language, and the tokens that will be cropped."""
    excess = F.greatest(F.col("token_count") - (settings.sequence_length + 1), F.lit(0))
    cropped = excess if settings.method == packing.CROPPING else F.lit(0)
    language = F.coalesce("language", F.lit(codes.UNKNOWN)).alias("language")
    counts = tokens.groupBy("split", "source", language).agg(
        F.count("*"), F.sum("token_count"), F.sum(cropped)
    )
    found: Languages = {}
    for split, source, code, *numbers in sorted(map(tuple, counts.collect())):
        documents, encoded, cut = numbers
        counted = TokenCounts(documents=documents, encoded=encoded, cropped=cut)
        found.setdefault(split, {}).setdefault(source, {})[code] = counted
    return found


def _plan_groups(languages: Languages, settings: PackConfig) -> list[Group]:
    """Return all groups, ordered by split and source; their number follows from the number of rows."""
    groups: list[Group] = []
    for split, sources in languages.items():
        for source, counts in sources.items():
            total = sum(counts.values(), TokenCounts())
            rows = total.encoded / (settings.sequence_length + 1)
            if settings.method == packing.CROPPING:
                rows = total.documents
            number = math.ceil(rows / (FILL * settings.shard_sequences))
            groups += [(split, source, index) for index in range(number)]
    return groups


def _assign_groups(spark: SparkSession, tokens: DataFrame, groups: list[Group]) -> DataFrame:
    """Assign every document to a group; each group is one partition."""
    first: dict[tuple[str, str], int] = {}
    count: dict[tuple[str, str], int] = defaultdict(int)
    for index, (split, source, _) in enumerate(groups):
        first.setdefault((split, source), index)
        count[split, source] += 1
    ranges = [(*key, first[key], count[key]) for key in first]
    group_ranges = spark.createDataFrame(ranges, "split string, source string, first int, count int")
    group = (F.col("first") + F.col("order") % F.col("count")).cast("int").alias("group")
    assigned = tokens.join(F.broadcast(group_ranges), ["split", "source"])
    assigned = assigned.select(group, "document_id", "copy", "tokens")
    return assigned.repartitionById(len(groups), "group")


def write_groups(
    batches: Iterable[pa.RecordBatch],
    groups: list[Group],
    folder: str,
    header: Header,
    shard_sequences: int,
    byte_lengths: npt.NDArray[np.int32],
    breaks: packing.Breaks,
) -> Batches:
    """Pack and write the groups of one task; yield a row per file."""
    by_group: dict[int, list[packing.Document]] = defaultdict(list)
    for batch in batches:
        columns = (batch.column(name).to_pylist() for name in ("group", "document_id", "copy", "tokens"))
        for group, document_id, copy, tokens in zip(*columns, strict=True):
            document = packing.Document(document_id, np.frombuffer(tokens, header.dtype), copy)
            by_group[group].append(document)
    for group in sorted(by_group):
        split, source, number = groups[group]
        rows = packing.pack(by_group.pop(group), header, breaks)
        for number_in_group, first in enumerate(range(0, len(rows.tokens), shard_sequences)):
            part = f"{number:05d}" + (f"_{number_in_group:03d}" if number_in_group else "")
            chunk = rows.take(np.arange(first, min(first + shard_sequences, len(rows.tokens))))
            file = shards.write_file(folder, split, source, part, chunk, header, byte_lengths)
            yield pa.RecordBatch.from_pylist([_to_row(file)], schema=_written_schema())


def _written_schema() -> pa.Schema:
    texts = [(name, pa.string()) for name in ("split", "source", "path", "sha256", "blocks")]
    return pa.schema([*texts, *((name, pa.int64()) for name in ("size", *Totals.model_fields))])


def _to_row(file: WrittenFile) -> dict[str, object]:
    texts = {"split": file.split, "source": file.source, "blocks": file.blocks}
    return texts | file.entry.model_dump() | file.totals.model_dump()


def _from_row(
    split: shards.SplitName, source: str, path: str, sha256: str, blocks: str, size: int, **totals: int
) -> WrittenFile:
    entry = FileEntry(path=path, size=size, rows=totals["rows"], sha256=sha256)
    return WrittenFile(split, source, entry, Totals(**totals), blocks)
