"""Find the duplicates among the records that no filter dropped, by the signatures of the one pass.

1. Of documents with the same canonical address, all captures but the latest are set aside (``captures.py``).
2. Documents that share a key, of their text or of a band, are connected. The edges form one star per key.
3. Connected components are the clusters (``components.py``); ones that are too large are cut again.
4. The members' signatures are read again, file by file, and sorted by cluster and preference.
   :mod:`pipeline.dedup.survivors` decides about one cluster after the other.

A node is the number of its file and its row there, in 64 bits, so that a member is found without a join. Only
nodes and 64-bit keys shuffle, and the signatures of the members. The switches in ``[dedup]`` decide who is
dropped, but do not change the clusters, because the validation split is decided by cluster.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import Config, DedupConfig
from pipeline.dedup.parameters import parameters
from pipeline.dedup.survivors import Candidate, decide, preference
from pipeline.ledger.tables import copies_schema
from pipeline.spark import tables
from pipeline.spark.dedup import captures
from pipeline.spark.dedup.components import connected_components
from pipeline.spark.dedup.parts import KEYED, Parts, node, parts_of, read_keys, read_part, read_text_keys
from pipeline.spark.dedup.signature_index import SignatureIndex

Batches = Iterator[pa.RecordBatch]

BATCH_ROWS = 1 << 13
NUM_REPORTED, NUM_SAMPLES = 20, 5
"""Clusters that were cut and are described, and documents of each that are named."""
_PREFERENCE_COLUMNS = ["words", "fetched_at", "metrics.quality", "source"]
_CANDIDATES = pa.schema(
    [
        ("root", pa.int64()),
        ("generation", pa.string()),
        ("cluster", pa.string()),
        ("preference", pa.list_(pa.float64())),
        ("id", pa.string()),
        ("part", pa.string()),
        ("normalized_hash", pa.string()),
        ("keys", pa.list_(pa.int64())),
        ("shingles", pa.binary()),
    ]
)
_MEMBER_COLUMNS = ["id", "normalized_hash", "keys", "shingles", "cluster", *_PREFERENCE_COLUMNS]


def cut_schema() -> pa.Schema:
    """Columns of the table of clusters that were cut: how large they were, and what became of them.

    ``clusters``: number of the resulting clusters, of which ``largest`` is the largest size. ``sample``: ids
    of one document each of some of them, which depend on the partitioning.
    """
    return pa.schema(
        [
            ("documents", pa.int64()),
            ("joined_bands", pa.int32()),
            ("clusters", pa.int64()),
            ("largest", pa.int64()),
            ("sample", pa.list_(pa.string())),
        ]
    )


def find_copies(
    spark: SparkSession,
    config: Config,
    records: str,
    folder: str,
    stage: str,
    index: SignatureIndex | None = None,
) -> DataFrame:
    """Return the table of copies in ``folder``, which is made unless an earlier attempt finished it.

    The clusters that were cut are in ``folder.cut``.
    """

    def make(folder: str) -> None:
        work = f"{folder}.work"
        copies, cut = find_clusters(spark, records, config.dedup, work, index)
        tables.write(copies, folder)
        tables.write(cut, f"{folder}.cut")
        storage.remove(work)

    tables.write_once(folder, make, f"{stage}: finding copies")
    return tables.read(spark, folder, copies_schema())


def find_clusters(
    spark: SparkSession, records: str, settings: DedupConfig, work: str, index: SignatureIndex | None = None
) -> tuple[DataFrame, DataFrame]:
    """Cluster the records that no filter dropped, and decide about them.

    Returns rows of :func:`~pipeline.ledger.tables.copies_schema` and of :func:`cut_schema`. ``records``:
    folder of the table. ``work``: folder for intermediate tables, which the caller removes.
    """
    parts = parts_of(spark, records, index.signature_files if index else ())
    superseded = captures.superseded(spark, parts, f"{work}/captures") if settings.url else None
    keyed = _keys(parts.with_rows(superseded, excluded=True))
    if index:
        keyed = tables.checkpoint(spark, keyed, f"{work}/keys")
        keyed = keyed.unionByName(index.matching_keys(keyed, parts.num_records))
    members = connected_components(spark, _stars(keyed), f"{work}/rounds")
    members, cut = _cut_large(spark, parts, members, settings, work)
    candidates = parts.with_rows(members).mapInArrow(
        partial(_read_candidates, settings=settings), from_arrow_schema(_CANDIDATES)
    )
    ordered = candidates.repartition("root").sortWithinPartitions(
        "root", F.col("generation") == "", "generation", "preference", "id"
    )
    decided = ordered.mapInArrow(partial(_decide, settings=settings), from_arrow_schema(copies_schema()))
    if superseded is not None:
        decided = tables.checkpoint(spark, decided, f"{work}/decided")
        decided = decided.unionByName(captures.decisions(superseded, decided))
    return decided, cut


def _stars(keyed: DataFrame) -> DataFrame:
    """Connect every document with the first of each of its keys: linear in the number of keys."""
    first = F.first("node").over(Window.partitionBy("key").orderBy("node"))
    return keyed.select(F.col("node").alias("u"), first.alias("v")).where("u != v")


def _keys(parts: DataFrame, joined: int = 1) -> DataFrame:
    """Return the keys of the chosen rows of files with their nodes. ``joined``: bands in one key."""
    return parts.mapInArrow(partial(read_keys, joined=joined), from_arrow_schema(KEYED))


def _cut_large(
    spark: SparkSession, parts: Parts, members: DataFrame, settings: DedupConfig, work: str
) -> tuple[DataFrame, DataFrame]:
    """Cut clusters of more than ``max_cluster`` different texts, by keys of twice as many bands each time.

    Returns the members, and rows of :func:`cut_schema` about the largest clusters that were cut. Documents
    that no longer share a key with another are in no cluster.
    """
    joined, cut = 1, spark.createDataFrame([], from_arrow_schema(cut_schema()))
    while 2 * joined <= parameters(settings).bands:
        large = _large(parts, members, settings.max_cluster)
        if large is None:
            break
        joined *= 2
        folder = f"{work}/cut-{joined}"
        inside, outside = members.join(large, "root"), members.join(large, "root", "left_anti")
        stars = _stars(_keys(parts.with_rows(inside), joined))
        again = connected_components(spark, stars, f"{folder}/rounds").select(*members.columns)
        report = tables.checkpoint(spark, _describe_cut(parts, inside, again, joined), f"{folder}/report")
        cut = cut.unionByName(report)
        members = tables.checkpoint(spark, outside.unionByName(again), f"{folder}/members")
    return members, cut


def _large(parts: Parts, members: DataFrame, limit: int) -> DataFrame | None:
    """Return the roots of the clusters of more than ``limit`` different texts; None if there are none."""
    sizes = members.groupBy("root").agg(F.count("*").alias("size"))
    many = sizes.where(F.col("size") > limit).select("root")
    if many.isEmpty():
        return None
    inside = members.join(many, "root")
    texts = parts.with_rows(inside).mapInArrow(read_text_keys, from_arrow_schema(KEYED))
    counted = inside.join(texts, "node").groupBy("root").agg(F.countDistinct("key").alias("texts"))
    large = counted.where(F.col("texts") > limit).select("root")
    return None if large.isEmpty() else large


def _describe_cut(parts: Parts, before: DataFrame, after: DataFrame, joined: int) -> DataFrame:
    """Describe the clusters that were cut, given the members of all of them before and after: the largest."""
    both = before.withColumnRenamed("root", "cluster").join(after, "node", "left")
    sizes = both.groupBy("cluster", "root").agg(F.count("*").alias("size"), F.min("node").alias("node"))
    size = F.when(F.col("root").isNotNull(), F.col("size")).otherwise(1)
    described = sizes.groupBy("cluster").agg(
        F.sum("size").alias("documents"),
        F.count("root").alias("clusters"),
        F.max(size).alias("largest"),
        F.max_by("node", F.struct(size, F.col("node")), NUM_SAMPLES).alias("nodes"),
    )
    order = [F.desc(name) for name in ("documents", "clusters", "largest")]
    largest = described.orderBy(*order).limit(NUM_REPORTED)
    nodes = largest.select("cluster", F.explode("nodes").alias("node"))
    ids = parts.with_rows(nodes).mapInArrow(_read_ids, "node long, id string")
    samples = (
        nodes.join(ids, "node").groupBy("cluster").agg(F.sort_array(F.collect_list("id")).alias("sample"))
    )
    columns = {"joined_bands": F.lit(joined)}
    return largest.join(samples, "cluster").withColumns(columns).select(cut_schema().names)


def _read_ids(batches: Batches) -> Batches:
    """Read the ids of the chosen rows of each file."""
    for part in (part for batch in batches for part in batch.to_pylist()):
        ids = pa.Table.from_batches(read_part(part["path"], ["id"])).column("id").take(part["rows"])
        nodes = node(part["number"], np.array(part["rows"]))
        yield pa.RecordBatch.from_pydict({"node": nodes, "id": ids.combine_chunks()})


def _read_candidates(batches: Batches, settings: DedupConfig) -> Batches:
    """Read the signatures of the members in each file: rows of ``_CANDIDATES``."""
    for batch in batches:
        for part in batch.to_pylist():
            wanted, roots, row = np.array(part["rows"]), np.array(part["roots"]), 0
            for columns in read_part(part["path"], _MEMBER_COLUMNS):
                first, past = wanted.searchsorted([row, row + columns.num_rows])
                row += columns.num_rows
                if past > first:
                    chosen = columns.take(pa.array(wanted[first:past] - row + columns.num_rows))
                    given = {"root": roots[first:past], "part": [storage.name(part["path"])] * len(chosen)}
                    yield _candidates(
                        chosen, given | {"generation": [part["generation"]] * len(chosen)}, settings
                    )


def _candidates(members: pa.RecordBatch, given: dict[str, Any], settings: DedupConfig) -> pa.RecordBatch:
    """Add the preference of each member. ``given``: columns that are not read."""
    order = [
        preference(
            settings,
            words=member["words"],
            fetched_at=member["fetched_at"],
            quality=(member["metrics"] or {}).get("quality"),
            source=member["source"],
        )
        for member in members.select(["words", "fetched_at", "metrics", "source"]).to_pylist()
    ]
    made = {"cluster": [""] * len(order)} | dict(zip(members.schema.names, members.columns, strict=True))
    made |= given | {"preference": order}
    return pa.RecordBatch.from_pydict({name: made[name] for name in _CANDIDATES.names}, schema=_CANDIDATES)


def _decide(batches: Batches, settings: DedupConfig) -> Batches:
    """Decide about candidates that arrive cluster by cluster, in the order of preference."""
    rows = (row for batch in batches for row in batch.to_pylist())
    made: list[dict[str, Any]] = []
    for _, members in groupby(rows, itemgetter("root")):
        parts: dict[str, str] = {}
        decisions = decide(_remember(members, parts), settings)
        made += [decision._asdict() | {"part": parts[decision.id]} for decision in decisions]
        if len(made) >= BATCH_ROWS:
            yield pa.RecordBatch.from_pylist(made, schema=copies_schema())
            made = []
    yield pa.RecordBatch.from_pylist(made, schema=copies_schema())


def _remember(members: Iterable[dict[str, Any]], parts: dict[str, str]) -> Iterator[Candidate]:
    """Yield candidates, and note the file of each document of this corpus."""
    for member in members:
        if not member["generation"]:
            parts[member["id"]] = member["part"]
        yield Candidate(**{name: member[name] for name in Candidate._fields})
