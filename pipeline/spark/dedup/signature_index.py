"""Index of the signatures of finished corpora, with which a new crawl is compared instead of their texts.

A folder with a manifest, to which each corpus adds a generation:

- ``generation-CORPUS/signatures/``: one row per document that stayed, with all that a decision needs;
- ``generation-CORPUS/keys/``: the keys of these documents, sorted, in files by their highest bits.

Matching reads the keys once, file by file, and of the signatures only the files that hold matches; neither is
shuffled. As decisions depend on documents with a common key only (:mod:`pipeline.dedup.survivors`), a crawl
compared with the index of an earlier one loses the documents that it would lose if both were deduplicated at
once, the earlier one's preferred.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from core import manifest, storage
from core.config import Config, DedupConfig, parse, require
from core.errors import InputError, ManifestError, MismatchError, OutputError
from core.manifest import FileEntry, Manifest
from core.storage import locks
from pipeline import ledger
from pipeline.dedup.parameters import Parameters, overrides, parameters
from pipeline.ledger import COPIES, CUTS, Reason
from pipeline.ledger.tables import records_folder
from pipeline.spark import checks, publishing, record_processing, tables
from pipeline.spark.dedup.parts import KEYED, ROW_BITS, parts_of, read_keys, read_part
from pipeline.spark.steps import step

STAGE = "signature_index"
GENERATION = "generation-"
"""Start of the name of each corpus's folder."""
MIN_BUCKETS, KEYS_PER_BUCKET = 64, 1 << 22
"""Files of keys per generation, at least, and the keys of one in the first generation, at most."""
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
    def corpora(self) -> list[str]:
        """Hashes of the corpora in the index, the first one first."""
        return [generation["corpus"] for generation in self.manifest.facts["generations"]]

    @property
    def generations(self) -> list[str]:
        """Folders of the generations, the first one first."""
        return [generation["folder"] for generation in self.manifest.facts["generations"]]

    @property
    def signature_files(self) -> list[tuple[str, str]]:
        """Paths of the files with signatures and their generations, in the order of their numbers."""
        return [(path, name) for name in self.generations for path in self._signatures(name)]

    def content(self, run: str) -> str:
        """Return what a run in the folder ``run`` depends on: the corpora in the index.

        For a finished run these are the ones that were in it then, if others were only added to them.
        """
        known = self.corpora
        if storage.exists(storage.join(run, manifest.NAME)):
            seen = manifest.read(run, *manifest.CORPUS_STAGES).facts.get("index", [])
            known = seen if seen and seen == known[: len(seen)] else known
        return " ".join(["index", *known])

    def matching_keys(self, keyed: DataFrame, first_number: int) -> DataFrame:
        """Return the keys of the index that are among those of ``keyed``, with their nodes.

        ``first_number``: number of the first file with signatures.
        """
        number, folders = first_number, []
        for generation in self.generations:
            folders.append((storage.join(self.folder, generation, "keys"), number))
            number += len(self._signatures(generation))
        buckets = self.manifest.facts["buckets"]
        wanted = keyed.select("key").repartitionById(buckets, _bucket(buckets))
        match = partial(_match, generations=folders, buckets=buckets)
        return wanted.mapInArrow(match, from_arrow_schema(KEYED))

    def _signatures(self, generation: str) -> list[str]:
        prefix = f"{generation}/signatures/"
        paths = (entry.path for entry in self.manifest.files)
        return sorted(storage.join(self.folder, path) for path in paths if path.startswith(prefix))


def open_index(spark: SparkSession, config: Config) -> SignatureIndex | None:
    """Return the configured index after comparing all its files with its manifest; None without an index.

    Raises as :func:`check_local_index`, and :class:`ManifestError` for one that was altered.
    """
    if not config.dedup.index:
        return None
    folder = storage.absolute(config.dedup.index)
    found = _matching_index(config.dedup)
    verify(spark, folder, found)
    return SignatureIndex(folder, found)


def check_local_index(settings: DedupConfig) -> None:
    """Check the configured index by its manifest alone, if there is one on a local disk.

    Raises :class:`ManifestError` for a folder without an index, :class:`InputError` for one with other files,
    and :class:`MismatchError` for an index with signatures of other parameters.
    """
    if settings.index and storage.is_local(settings.index):
        _matching_index(settings)


def _matching_index(settings: DedupConfig) -> Manifest:
    """Return the manifest of the configured index. Raises as :func:`check_local_index`."""
    folder = storage.absolute(settings.index)
    if not (found := _existing(folder)):
        raise ManifestError(
            f"dedup.index = {settings.index}: has no {manifest.NAME}, so no index was made there, or it was "
            "not copied whole; make it with jobs/add_to_index.py, or correct the path"
        )
    refuse_other_parameters(found, parameters(settings), settings.index)
    return found


def refuse_other_parameters(index: Manifest, requested: Parameters, path: str) -> None:
    """Raise :class:`MismatchError` unless signatures with these parameters can be compared with the index."""
    for name, value in zip(requested._fields[:-1], requested[:-1], strict=True):
        if (own := index.config[name]) != value:
            raise MismatchError(
                f"dedup.index = {path}: was made with dedup.{name} = {own}, but {value} is asked for; pass "
                f"{overrides(Parameters(**index.config), name)}, or make another index"
            )


def verify(spark: SparkSession, folder: str, index: Manifest) -> None:
    """Compare size and SHA-256 of every file with the manifest, in tasks. Raises :class:`ManifestError`."""

    def check(batches: Batches) -> Batches:
        for entry in (entry for batch in batches for entry in batch.to_pylist()):
            try:
                manifest.verify_file(folder, FileEntry(**entry))
            except ManifestError as error:
                yield pa.RecordBatch.from_pydict({"error": [str(error)]})

    rows = [(entry.path, entry.size, entry.rows, entry.sha256) for entry in index.files]
    tasks = min(len(rows), spark.sparkContext.defaultParallelism)
    listed = tables.parallelize(spark, rows, tables.ENTRY, tasks)
    if found := listed.mapInArrow(check, "error string").orderBy("error").first():
        raise ManifestError(f"{found['error']}; or make the index again from its runs")


def validate(config: Config) -> None:
    """Raise an error for what :func:`add_run` would reject. Needs no Spark and accesses no remote files."""
    require(config, "output.path", "dedup.index")
    if storage.is_local(config.dedup.index):
        _existing(storage.absolute(config.dedup.index))


def add_run(spark: SparkSession, config: Config) -> Manifest:
    """Add the finished run in ``output.path`` to the index in ``dedup.index``, which is made if missing.

    Does nothing if the index has it already. An interrupted attempt leaves the index as it was. Raises
    :class:`OutputError` if another process adds a run at the same time.
    """
    run, folder = storage.absolute(config.output.path), storage.absolute(config.dedup.index)
    made = manifest.read(run, *manifest.CORPUS_STAGES)
    found = _existing(folder)
    if found and _has(found, made):
        return _add(spark, config, run, made, folder)  # which writes nothing
    with locks.held(folder, STAGE):
        return _add(spark, config, run, made, folder)


def _has(index: Manifest, run: Manifest) -> bool:
    return any(each["corpus"] == run.facts["corpus"] for each in index.facts["generations"])


def _add(spark: SparkSession, config: Config, run: str, made: Manifest, folder: str) -> Manifest:
    """Add a finished run to the index in a folder, which this process holds unless the index has the run."""
    own = parameters(parse(made.config["dedup"], DedupConfig))
    index = _existing(folder)
    if index:
        refuse_other_parameters(index, own, config.dedup.index)
        with step("verify", f"{STAGE}: comparing the index with its manifest"):
            verify(spark, folder, index)
        if _has(index, made):
            print(f"{STAGE}: {config.output.path} is in the index already")
            return index
    added = index.facts["generations"] if index else []
    documents, name = made.counts["kept"], f"{GENERATION}{made.facts['corpus']}"
    buckets = index.facts["buckets"] if index else _num_buckets(documents * (own.bands + 1))
    for left in set(locks.contents(folder)) - {each["folder"] for each in added}:
        if left.startswith(GENERATION):  # by an interrupted attempt
            storage.remove(storage.join(folder, left))
    with step("generation", f"{STAGE}: adding signatures and keys"):
        _write_generation(spark, run, storage.join(folder, name), buckets)
        entries = tables.file_entries(spark, folder, name)
    signed = [entry for entry in entries if entry.path.startswith(f"{name}/signatures/")]
    checks.check_one_job(folder, signed)
    if (rows := sum(entry.rows for entry in signed)) != documents:
        raise OutputError(
            f"{folder}/{name}: has {rows:,} signatures, but the run has {documents:,} documents; "
            f"{checks.REMEDY}"
        )
    generation = {"folder": name, "corpus": made.facts["corpus"], "documents": documents}
    corpora = [each["corpus"] for each in [*added, generation]]
    result = Manifest(
        stage=STAGE,
        fingerprint=manifest.fingerprint(STAGE, own._asdict(), corpora),
        config=own._asdict(),
        inputs=[*(index.inputs if index else []), config.output.path],
        counts={"documents": documents + (index.counts["documents"] if index else 0)},
        files=[*(index.files if index else []), *entries],
        facts={"generations": [*added, generation], "buckets": buckets},
    )
    manifest.publish(folder, result)
    return result


def _num_buckets(keys: int) -> int:
    """Return a power of two."""
    return max(MIN_BUCKETS, 1 << (keys // KEYS_PER_BUCKET).bit_length())


def _existing(folder: str) -> Manifest | None:
    """Return the manifest of the index in a folder, None if the folder is new. Refuses any other content."""
    if storage.exists(listed := storage.join(folder, manifest.NAME)):
        found = manifest.read(folder, STAGE)
        complete = found.config.keys() >= set(Parameters._fields)
        if not complete or not found.facts.keys() >= {"buckets", "generations"}:
            raise ManifestError(
                f"{listed}: lacks what the manifest of a signature index holds; restore it, or make the "
                "index again with jobs/add_to_index.py"
            )
        return found
    files: list[storage.FileInfo] = []
    with suppress(InputError):  # missing, empty, or with nothing but hidden files of an interrupted attempt
        files = storage.list_files(folder)
    generation = storage.join(folder.removeprefix("file://"), GENERATION)
    if any(not file.path.startswith(generation) for file in files):
        raise InputError(
            f"dedup.index = {folder}: holds files that are no signature index; name another folder"
        )
    return None


def _write_generation(spark: SparkSession, run: str, folder: str, buckets: int) -> None:
    """Write signatures and keys of the documents of a run that stayed."""
    decided = tables.read(spark, f"{run}/{COPIES}", ledger.copies_schema())
    if storage.exists(f"{run}/{CUTS}"):
        emptied = tables.read(spark, f"{run}/{CUTS}", ledger.cuts_schema()).where("emptied")
        repeated = emptied.select("part", "id", F.lit(Reason.REPEATED.value).alias("reason"))
        others = decided.join(emptied.select("id"), "id", "left_anti")
        decided = others.unionByName(repeated, allowMissingColumns=True)
    records, schema = records_folder(run), signature_schema()
    signed = publishing.map_parts(spark, records, decided, _to_signatures, _READ, schema)
    tables.write(signed, f"{folder}/signatures")
    parts = parts_of(spark, f"{folder}/signatures")
    keyed = parts.with_rows(None, excluded=True).mapInArrow(read_keys, from_arrow_schema(KEYED))
    ordered = keyed.repartitionById(buckets, _bucket(buckets)).sortWithinPartitions("key", "node")
    ordered.mapInArrow(partial(_write_keys, folder=f"{folder}/keys", buckets=buckets), "path string").count()


def _to_signatures(rows: pa.RecordBatch, decided: publishing.Decisions) -> pa.Table:
    """Return the signatures of the rows that stayed, each with its cluster."""
    rows = rows.filter(pc.and_(rows["reason"].is_null(), rows["error"].is_null()))
    decisions = [decided.get(each) for each in rows["id"].to_pylist()]
    stays = pa.array([not (decision and decision["reason"]) for decision in decisions], pa.bool_())
    own = rows["id"].to_pylist()
    clusters = [each["cluster"] if each else id_ for each, id_ in zip(decisions, own, strict=True)]
    table = pa.Table.from_batches([rows]).append_column("cluster", pa.array(clusters, pa.string()))
    return table.filter(stays).select(signature_schema().names).cast(signature_schema())


def _bucket(buckets: int) -> Column:
    """Return the file that holds a key: its highest bits, as keys are uniformly distributed hashes."""
    return (F.shiftright("key", 64 - buckets.bit_length() + 1) + buckets // 2).cast("int")


def _bucket_file(folder: str, key: int, buckets: int) -> str:
    return storage.join(folder, f"keys-{(key >> (64 - buckets.bit_length() + 1)) + buckets // 2:05d}.parquet")


def _write_keys(batches: Batches, folder: str, buckets: int) -> Batches:
    """Write the sorted keys of one bucket, and yield the file's path."""
    first = next((batch for batch in batches if batch.num_rows), None)
    if first is None:
        return
    path = _bucket_file(folder, first["key"][0].as_py(), buckets)
    with tempfile.TemporaryDirectory() as scratch:
        local = str(Path(scratch) / "keys.parquet")
        with pq.ParquetWriter(local, KEYED, compression="zstd") as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
        storage.upload(local, path)
    yield pa.RecordBatch.from_pydict({"path": [path]})


def _match(batches: Batches, generations: list[tuple[str, int]], buckets: int) -> Batches:
    """Find the keys of one bucket in its file of each generation, a row group at a time."""
    columns = [batch["key"].to_numpy() for batch in batches if batch.num_rows]
    if not columns:
        return
    wanted = np.unique(np.concatenate(columns))
    for folder, first_number in generations:
        path = _bucket_file(folder, int(wanted[0]), buckets)
        for batch in read_part(path, KEYED.names) if storage.exists(path) else ():
            keys = batch["key"].to_numpy()
            found = wanted.take(wanted.searchsorted(keys), mode="clip") == keys
            if found.any():
                nodes = batch["node"].to_numpy()[found] + (first_number << ROW_BITS)
                yield pa.RecordBatch.from_arrays([pa.array(keys[found]), pa.array(nodes)], schema=KEYED)
