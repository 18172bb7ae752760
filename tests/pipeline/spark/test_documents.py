import pytest

from core.errors import InputError
from core.manifest import Stage
from pipeline.spark.documents import corpus_hash


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
