import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from core.errors import InputError, ManifestError
from core.stage import Stage
from pipeline import document
from pipeline.spark import tables
from pipeline.spark.documents import corpus_hash, read


def published(folder, output, kept):
    stage = Stage("dedup", str(folder), config={"dedup": {"output": output}})
    stage.begin()
    stage.publish({"kept": kept}, [], {"corpus": "c"})
    return str(folder)


def test_hash_of_a_run_with_documents_is_that_of_its_manifest(tmp_path):
    assert corpus_hash(published(tmp_path / "run", "documents", 1)) == "c"


@pytest.mark.parametrize(
    ("output", "kept", "problem"),
    [
        ("duplicates", 1, r"has no documents \(dedup\.output = duplicates\); run dedup with"),
        ("documents", 0, "no document was kept"),
    ],
)
def test_runs_without_documents_are_refused(tmp_path, output, kept, problem):
    with pytest.raises(InputError, match=rf"^\S+run: {problem}[^\n]*$"):
        corpus_hash(published(tmp_path / "run", output, kept))


@pytest.mark.spark
def test_files_other_than_those_of_the_manifest_are_refused(spark, tmp_path):
    """Such as one that a task adds which outlives its driver."""
    out = str(tmp_path / "run")
    stage = Stage("clean", out, owned=("documents",))
    stage.begin()
    rows = [{"id": f"{number:032}", "text": "t", "source": "web", "language": "en"} for number in range(5)]
    tables.write(
        spark.createDataFrame(pa.Table.from_pylist(rows, schema=document.schema())), f"{out}/documents"
    )
    stage.publish({"kept": 5}, tables.file_entries(spark, out, "documents"), {"corpus": "c"})
    assert read(spark, out).count() == 5
    file = Path(tables.parquet_files(f"{out}/documents")[0])
    shutil.copy(file, file.with_name("part-99999.parquet"))
    with pytest.raises(ManifestError, match=r"documents/part-99999\.parquet: not as manifest\.json says"):
        read(spark, out)
    file.unlink()
    with pytest.raises(ManifestError, match=r"documents/part-\S+: not as manifest\.json says"):
        read(spark, out)
