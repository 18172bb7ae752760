"""Find the duplicates among the records that no filter dropped, by the signatures of the one pass.

1. Of documents with the same canonical address, all captures but the latest are set aside (``captures.py``).
2. Documents that share a key, of their text or of a band, are connected. The edges form one star per key.
3. Connected components are the clusters (``components.py``); ones that are too large are cut again.
4. The members' signatures are read again, file by file, and sorted by cluster and preference.
   :mod:`pipeline.dedup.survivors` decides about one cluster after the other. Of documents with equal text in
   one file only the first takes part, and the others follow it, so that a cluster of any number of copies is
   decided in bounded memory.

A node is the number of its file and its row there, in 64 bits, so that a member is found without a join. Only
nodes and 64-bit keys shuffle, and the signatures of the members. The switches in ``[dedup]`` decide who is
dropped, but do not change the clusters, because the validation split is decided by cluster.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import storage
from core.config import Config, DedupConfig
from pipeline.dedup.parameters import parameters
from pipeline.dedup.survivors import Candidate, Decision, decide, decide_copy, preference
from pipeline.ledger import Reason
from pipeline.ledger.tables import copies_schema
from pipeline.spark import tables
from pipeline.spark.dedup import captures
from pipeline.spark.dedup.components import connected_components
from pipeline.spark.dedup.parts import (
    KEYED,
    STARRED,
    Parts,
    node,
    parts_of,
    read_part,
    read_stars,
    read_text_keys,
)
from pipeline.spark.dedup.signature_index import SignatureIndex

Batches = Iterator[pa.RecordBatch]
Numbers = NDArray[np.int64]

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
        ("copies", pa.int64()),
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
        matching = index.matching_keys(keyed.where("first IS NULL"), parts.num_records)
        keyed = keyed.unionByName(matching, allowMissingColumns=True)
    members = connected_components(spark, _stars(keyed), f"{work}/rounds")
    members, cut = _cut_large(spark, parts, members, settings, work)
    candidates = parts.with_rows(members).mapInArrow(
        partial(_read_candidates, settings=settings), from_arrow_schema(_CANDIDATES)
    )
    ordered = candidates.repartition("root").sortWithinPartitions(
        "root", F.col("generation") == "", "generation", "preference", "id"
    )
    decided = ordered.mapInArrow(partial(_decide, settings=settings), from_arrow_schema(copies_schema()))
    if settings.exact:
        firsts = tables.checkpoint(spark, decided, f"{work}/firsts")
        decided = _with_copies(parts, members, firsts)
    if superseded is not None:
        decided = tables.checkpoint(spark, decided, f"{work}/decided")
        decided = decided.unionByName(captures.decisions(superseded, decided))
    return decided, cut


def _stars(keyed: DataFrame) -> DataFrame:
    """Connect every document with the first of each of its keys: linear in the number of keys."""
    is_edge = F.col("first").isNotNull()
    first = F.first("node").over(Window.partitionBy("key", is_edge).orderBy("node"))
    return keyed.select(F.col("node").alias("u"), F.coalesce("first", first).alias("v")).where("u != v")


def _keys(parts: DataFrame, joined: int = 1) -> DataFrame:
    """Return the keys of the chosen rows of files with their nodes, and edges: rows of ``STARRED``.

    ``joined``: bands in one key.
    """
    return parts.mapInArrow(partial(read_stars, joined=joined), from_arrow_schema(STARRED))


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
    """Read the signatures of the members in each file: rows of ``_CANDIDATES``.

    With ``dedup.exact``, of members of a cluster with equal text only the first in the order of preference.
    """
    for part in (part for batch in batches for part in batch.to_pylist()):
        rows, roots = np.array(part["rows"]), np.array(part["roots"])
        copies = np.ones(len(rows), np.int64)
        if settings.exact and not part["generation"]:
            firsts, copies = _first_of_texts(part["path"], rows, roots, settings)
            rows, roots = rows[firsts], roots[firsts]
        for found, members in _read_rows(part["path"], rows, _MEMBER_COLUMNS):
            given = {
                "root": roots[found],
                "copies": copies[found],
                "part": [storage.name(part["path"])] * members.num_rows,
                "generation": [part["generation"]] * members.num_rows,
            }
            yield _candidates(members, given, settings)


def _read_rows(path: str, rows: Numbers, columns: list[str]) -> Iterator[tuple[slice, pa.RecordBatch]]:
    """Yield columns of the given rows of a file, in ascending order, each batch with its place among them."""
    row = 0
    for batch in read_part(path, columns):
        first, past = rows.searchsorted([row, row + batch.num_rows])
        if past > first:
            yield slice(first, past), batch.take(pa.array(rows[first:past] - row))
        row += batch.num_rows


def _first_of_texts(
    path: str, rows: Numbers, roots: Numbers, settings: DedupConfig
) -> tuple[Numbers, Numbers]:
    """Return the positions, among the rows, of the preferred one of each text of each cluster; and how many.

    Ids and preferences of a file are held in memory, no signatures.
    """
    best: dict[tuple[int, str], tuple[list[float], str, int]] = {}
    count: Counter[tuple[int, str]] = Counter()
    for found, members in _read_rows(path, rows, ["id", "normalized_hash", *_PREFERENCE_COLUMNS]):
        orders = _preferences(members, settings)
        texts, ids = members["normalized_hash"].to_pylist(), members["id"].to_pylist()
        for at, text, order, identifier in zip(
            range(found.start, found.stop), texts, orders, ids, strict=True
        ):
            key = int(roots[at]), text
            count[key] += 1
            if key not in best or (order, identifier) < best[key][:2]:
                best[key] = order, identifier, at
    firsts = sorted((at, count[key]) for key, (*_, at) in best.items())
    positions, copies = np.array(firsts, np.int64).reshape(-1, 2).T
    return positions, copies


def _with_copies(parts: Parts, members: DataFrame, firsts: DataFrame) -> DataFrame:
    """Add the decisions about the documents that follow another one of the same file with equal text."""
    decision = F.struct(*firsts.columns)
    decided = firsts.groupBy("part").agg(F.collect_list(decision).alias("decisions"))
    files = parts.with_rows(members).where("generation = ''")
    named = files.withColumn("part", F.element_at(F.split("path", "/"), -1))
    with_decisions = named.join(decided, "part").repartitionById(parts.count, F.col("number").cast("int"))
    copies = with_decisions.mapInArrow(_decide_copies, from_arrow_schema(copies_schema()))
    return firsts.unionByName(copies)


def _decide_copies(batches: Batches) -> Batches:
    """Decide about the members of each file that are not decided yet, by the first of their text."""
    for part in (part for batch in batches for part in batch.to_pylist()):
        rows, roots = np.array(part["rows"]), np.array(part["roots"])
        decisions = {each.pop("id"): each for each in part["decisions"]}
        if len(decisions) == len(rows):
            continue
        found = list(_read_rows(part["path"], rows, ["id", "normalized_hash"]))
        ids = [identifier for _, members in found for identifier in members["id"].to_pylist()]
        texts = [text for _, members in found for text in members["normalized_hash"].to_pylist()]
        keys = list(zip(roots.tolist(), texts, strict=True))
        first = {key: each for key, each in zip(keys, ids, strict=True) if each in decisions}
        made = []
        for key, identifier in zip(keys, ids, strict=True):
            if identifier not in decisions:
                of = dict(decisions[first[key]])
                name, reason = of.pop("part"), of.pop("reason")
                decision = Decision(id=first[key], reason=reason and Reason(reason), **of)
                made.append(decide_copy(identifier, decision)._asdict() | {"part": name})
        yield pa.RecordBatch.from_pylist(made, schema=copies_schema())


def _candidates(members: pa.RecordBatch, given: dict[str, Any], settings: DedupConfig) -> pa.RecordBatch:
    """Add the preference of each member. ``given``: columns that are not read."""
    order = _preferences(members, settings)
    made = {"cluster": [""] * len(order)} | dict(zip(members.schema.names, members.columns, strict=True))
    made |= given | {"preference": order}
    return pa.RecordBatch.from_pydict({name: made[name] for name in _CANDIDATES.names}, schema=_CANDIDATES)


def _preferences(members: pa.RecordBatch, settings: DedupConfig) -> list[list[float]]:
    """Return the sort key of each member."""
    return [
        preference(
            settings,
            words=member["words"],
            fetched_at=member["fetched_at"],
            quality=(member["metrics"] or {}).get("quality"),
            source=member["source"],
        )
        for member in members.select(["words", "fetched_at", "metrics", "source"]).to_pylist()
    ]


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
