"""Index of the signatures of finished corpora, with which a new crawl is compared instead of their texts.

A folder with a manifest, to which each corpus adds a generation:

- ``generation-NNNN/signatures/``: one row per document that stayed, with all that a decision needs;
- ``generation-NNNN/keys/``: the keys of these documents, sorted, in files by their highest bits.

Matching reads the keys once, file by file, and of the signatures only the files that hold matches; neither is
shuffled. As decisions depend on documents with a common key only (:mod:`pipeline.dedup.survivors`), a crawl
compared with the index of an earlier one loses the documents that it would lose if both were deduplicated at
once, the earlier one's preferred.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import manifest, storage
from core.config import Config, DedupConfig, parse, require
from core.errors import InputError, ManifestError, MismatchError
from core.manifest import FileEntry, Manifest
from pipeline import ledger
from pipeline.dedup.parameters import Parameters, parameters
from pipeline.ledger import COPIES
from pipeline.ledger.tables import records_folder
from pipeline.spark import publishing, record_processing, tables
from pipeline.spark.dedup.parts import KEYED, ROW_BITS, parts_of, read_keys, read_part

STAGE = "signature_index"
BUCKETS = 64
Batches = Iterator[pa.RecordBatch]

_PASSED_ON = ("id", "source", "fetched_at", "normalized_hash", "words", "keys", "shingles")
_READ = [*_PASSED_ON, "metrics.quality", "reason", "error"]


def signature_schema() -> pa.Schema:
    """Columns of the table of signatures: those of the table of records, and the document's cluster."""
    records = record_processing.schema()
    quality = pa.struct([("quality", pa.float64())])
    return pa.schema(
        [*map(records.field, _PASSED_ON), pa.field("metrics", quality), pa.field("cluster", pa.string())]
    )


@dataclass(frozen=True, slots=True)
class SignatureIndex:
    """An index that was found complete."""

    folder: str
    manifest: Manifest

    @property
    def content(self) -> str:
        """Hash of everything in the index."""
        return self.manifest.sha256()

    @property
    def generations(self) -> list[str]:
        """Folders of the generations, the first one first."""
        return [generation["folder"] for generation in self.manifest.facts["generations"]]

    @property
    def signature_files(self) -> list[str]:
        """Paths of the files with signatures, in the order in which nodes number them."""
        return [path for generation in self.generations for path in self._signatures(generation)]

    def matching_keys(self, keyed: DataFrame, first_number: int) -> DataFrame:
        """Return the keys of the index that are among those of ``keyed``, with their nodes.

        ``first_number``: number of the first file with signatures.
        """
        number, folders = first_number, []
        for generation in self.generations:
            folders.append((storage.join(self.folder, generation, "keys"), number))
            number += len(self._signatures(generation))
        wanted = keyed.select("key").repartitionById(BUCKETS, _bucket())
        return wanted.mapInArrow(partial(_match, generations=folders), from_arrow_schema(KEYED))

    def _signatures(self, generation: str) -> list[str]:
        prefix = f"{generation}/signatures/"
        paths = (entry.path for entry in self.manifest.files)
        return sorted(storage.join(self.folder, path) for path in paths if path.startswith(prefix))


def open_index(spark: SparkSession, config: Config) -> SignatureIndex | None:
    """Return the configured index after comparing all its files with its manifest; None without an index.

    Raises :class:`ManifestError` for a folder that is no index or was altered, and :class:`MismatchError` for
    one with signatures of other parameters.
    """
    if not config.dedup.index:
        return None
    folder = storage.absolute(config.dedup.index)
    found = manifest.read(folder, STAGE)
    refuse_other_parameters(found, parameters(config.dedup), config.dedup.index)
    verify(spark, folder, found)
    return SignatureIndex(folder, found)


def refuse_other_parameters(index: Manifest, requested: Parameters, path: str) -> None:
    """Raise :class:`MismatchError` unless signatures with these parameters can be compared with the index."""
    for name, value in zip(requested._fields[:-1], requested[:-1], strict=True):
        if (own := index.config[name]) != value:
            raise MismatchError(
                f"dedup.index = {path}: was made with dedup.{name} = {own}, but {value} is asked for; pass "
                f"--set dedup.{name}={own}, or make another index"
            )


def verify(spark: SparkSession, folder: str, index: Manifest) -> None:
    """Compare size and SHA-256 of every file with the manifest, in tasks. Raises :class:`ManifestError`."""

    def check(batches: Batches) -> Batches:
        for entry in (entry for batch in batches for entry in batch.to_pylist()):
            try:
                manifest.verify_file(folder, FileEntry(**entry))
            except ManifestError as error:
                yield pa.RecordBatch.from_pydict({"error": [str(error)]})

    columns = tables.ENTRY
    rows = [(entry.path, entry.size, entry.rows, entry.sha256) for entry in index.files]
    tasks = min(len(rows), spark.sparkContext.defaultParallelism)
    listed = tables.parallelize(spark, rows, columns, tasks)
    if found := listed.mapInArrow(check, "error string").orderBy("error").first():
        raise ManifestError(found["error"])


def validate(config: Config) -> None:
    """Raise an error for what :func:`add_run` would reject. Needs no Spark and accesses no remote files."""
    require(config, "output.path", "dedup.index")
    if storage.is_local(config.dedup.index):
        _existing(storage.absolute(config.dedup.index))


def add_run(spark: SparkSession, config: Config) -> Manifest:
    """Add the finished run in ``output.path`` to the index in ``dedup.index``, which is made if missing.

    Does nothing if the index has it already. An interrupted attempt leaves the index as it was.
    """
    run, folder = storage.absolute(config.output.path), storage.absolute(config.dedup.index)
    made = manifest.read(run, *manifest.CORPUS_STAGES)
    own = parameters(parse(made.config["dedup"], DedupConfig))
    index = _existing(folder)
    if index:
        refuse_other_parameters(index, own, config.dedup.index)
    added = index.facts["generations"] if index else []
    if index and any(generation["corpus"] == made.facts["corpus"] for generation in added):
        print(f"{STAGE}: {config.output.path} is in the index already")
        return index
    name = f"generation-{len(added):04d}"
    storage.remove(storage.join(folder, name))
    _write_generation(spark, run, storage.join(folder, name))
    entries = tables.file_entries(spark, folder, name)
    documents = made.counts["kept"]
    generation = {"folder": name, "corpus": made.facts["corpus"], "documents": documents}
    corpora = [each["corpus"] for each in [*added, generation]]
    result = Manifest(
        stage=STAGE,
        fingerprint=manifest.fingerprint(STAGE, own._asdict(), corpora),
        config=own._asdict(),
        inputs=[*(index.inputs if index else []), config.output.path],
        counts={"documents": documents + (index.counts["documents"] if index else 0)},
        files=[*(index.files if index else []), *entries],
        facts={"generations": [*added, generation]},
    )
    manifest.publish(folder, result)
    return result


def _existing(folder: str) -> Manifest | None:
    """Return the manifest of the index in a folder, None if the folder is new. Refuses any other content."""
    if storage.exists(storage.join(folder, manifest.NAME)):
        return manifest.read(folder, STAGE)
    others = [file.path for file in storage.list_files(folder)] if storage.exists(folder) else []
    if any("/generation-0000/" not in path for path in others):
        raise InputError(
            f"dedup.index = {folder}: holds files that are no signature index; name another folder"
        )
    return None


def _write_generation(spark: SparkSession, run: str, folder: str) -> None:
    """Write signatures and keys of the documents of a run that stayed."""
    copies = tables.read(spark, f"{run}/{COPIES}", ledger.copies_schema())
    signed = publishing.map_parts(
        spark, records_folder(run), copies, to_signatures, _READ, signature_schema()
    )
    tables.write(signed, f"{folder}/signatures")
    parts = parts_of(spark, f"{folder}/signatures")
    keyed = parts.with_rows(None, excluded=True).mapInArrow(read_keys, from_arrow_schema(KEYED))
    ordered = keyed.repartitionById(BUCKETS, _bucket()).sortWithinPartitions("key", "node")
    ordered.mapInArrow(partial(_write_keys, folder=f"{folder}/keys"), "path string").count()


def to_signatures(rows: pa.RecordBatch, copies: dict[str, dict[str, Any]]) -> pa.Table:
    """Return the signatures of the rows that stayed, each with its cluster."""
    rows = rows.filter(pc.and_(rows["reason"].is_null(), rows["error"].is_null()))
    decisions = [copies.get(each) for each in rows["id"].to_pylist()]
    stays = pa.array([not (decision and decision["reason"]) for decision in decisions], pa.bool_())
    own = rows["id"].to_pylist()
    clusters = [each["cluster"] if each else id_ for each, id_ in zip(decisions, own, strict=True)]
    table = pa.Table.from_batches([rows]).append_column("cluster", pa.array(clusters, pa.string()))
    return table.filter(stays).select(signature_schema().names).cast(signature_schema())


def _bucket() -> Column:
    """Return the file that holds a key: its highest bits, as keys are uniformly distributed hashes."""
    return (F.shiftright("key", 64 - BUCKETS.bit_length() + 1) + BUCKETS // 2).cast("int")


def _bucket_file(folder: str, key: int) -> str:
    return storage.join(folder, f"keys-{(key >> (64 - BUCKETS.bit_length() + 1)) + BUCKETS // 2:05d}.parquet")


def _write_keys(batches: Batches, folder: str) -> Batches:
    """Write the sorted keys of one bucket, and yield the file's path."""
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        return
    path = _bucket_file(folder, first["key"][0].as_py())
    with tempfile.TemporaryDirectory() as scratch:
        local = str(Path(scratch) / "keys.parquet")
        with pq.ParquetWriter(local, KEYED, compression="zstd") as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        storage.upload(local, path)
    yield pa.RecordBatch.from_pydict({"path": [path]})


def _match(batches: Batches, generations: list[tuple[str, int]]) -> Batches:
    """Find the keys of one bucket in its file of each generation, a row group at a time."""
    columns = [batch["key"].to_numpy() for batch in batches if batch.num_rows]
    if not columns:
        return
    wanted = np.unique(np.concatenate(columns))
    for folder, first_number in generations:
        path = _bucket_file(folder, int(wanted[0]))
        for batch in read_part(path, KEYED.names) if storage.exists(path) else ():
            keys = batch["key"].to_numpy()
            found = wanted.take(wanted.searchsorted(keys), mode="clip") == keys
            if found.any():
                nodes = batch["node"].to_numpy()[found] + (first_number << ROW_BITS)
                yield pa.RecordBatch.from_arrays([pa.array(keys[found]), pa.array(nodes)], schema=KEYED)
