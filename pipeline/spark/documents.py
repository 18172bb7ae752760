"""The published documents, as the stages after cleaning read them."""

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from core import manifest, storage
from core.errors import InputError, ManifestError
from pipeline import document
from pipeline.spark import tables


def corpus_hash(out: str) -> str:
    """Return the hash of the documents in an output folder, which does not depend on how they are stored.

    Raises :class:`ManifestError` if the run is unfinished, :class:`InputError` if it has no documents.
    """
    found = manifest.read(out, *manifest.CORPUS_STAGES)
    if found.config.get("dedup", {}).get("output") == "duplicates":
        raise InputError(
            f"{out}: has no documents (dedup.output = duplicates); run dedup with dedup.output=documents"
        )
    if not found.counts["kept"]:
        raise InputError(
            f"{out}: no document was kept, but at least one is needed; check its ledger for the reasons"
        )
    return str(found.facts["corpus"])


def _check_files(out: str) -> None:
    entries = manifest.read(out, *manifest.CORPUS_STAGES).files
    expected = {entry.path: entry.size for entry in entries if entry.path.startswith("documents/")}
    found = {
        file.path[file.path.rindex("/documents/") + 1 :]: file.size
        for file in tables.list_parquet(storage.join(out, "documents"))
    }
    if different := sorted(dict(expected.items() ^ found.items())):
        raise ManifestError(
            f"{out}/{different[0]}: not as {manifest.NAME} says: missing, of another size, or not listed; "
            "run the stage that wrote it again"
        )


def read(spark: SparkSession, out: str) -> DataFrame:
    """Return ``id``, ``text``, ``source``, ``language``, ``cluster`` and ``cluster_size``.

    A document without copies is its own cluster. Raises :class:`ManifestError` if the folder holds other
    files than the manifest lists, such as those of a task that outlived its driver.
    """
    _check_files(out)
    documents = tables.read(spark, storage.join(out, "documents"), document.schema())
    cluster = (
        F.coalesce("cluster", "id").alias("cluster"),
        F.coalesce("cluster_size", F.lit(1)).alias("cluster_size"),
    )
    return documents.select("id", "text", "source", "language", *cluster)
