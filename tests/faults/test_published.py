"""The harness notices outputs that are not whole."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import manifest
from core.errors import ManifestError
from core.stage import Stage
from tests.faults.drivers import Outcome
from tests.faults.published import is_published, published


@pytest.fixture
def out(tmp_path):
    """A finished run with two documents in two files."""
    for number in range(2):
        path = tmp_path / "documents" / "source=web" / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": [f"{number}"], "text": ["a"]}), path)
    _publish(tmp_path)
    return tmp_path


def _publish(folder):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    entries = [manifest.file_entry(str(folder), path, 1) for path in files]
    Stage("clean", str(folder)).publish({"kept": 2}, entries, {"corpus": "c0ffee", "funnel": []})


def test_output_equals_its_copy_with_other_file_names(out):
    before = published(str(out), "clean")
    assert [row["id"] for row in before["documents"]] == ["0", "1"]
    (out / "documents/source=web/1.parquet").rename(out / "documents/source=web/part.parquet")
    _publish(out)
    assert published(str(out), "clean") == before


def test_unfinished_and_altered_outputs_are_noticed(out):
    assert is_published(str(out), "clean")
    (out / "documents/source=web/0.parquet").write_bytes(b"altered")
    with pytest.raises(ManifestError, match="altered"):
        published(str(out), "clean")
    (out / "manifest.json").unlink()
    assert not is_published(str(out), "clean")
    with pytest.raises(ManifestError, match="cut short"):
        published(str(out), "clean")


def test_doubled_and_unlisted_files_are_noticed(out):
    first = out / "documents/source=web/0.parquet"
    (out / "documents/source=web/2.parquet").write_bytes(first.read_bytes())
    with pytest.raises(AssertionError, match="but the manifest lists"):
        published(str(out), "clean")
    _publish(out)
    with pytest.raises(AssertionError, match="rows twice"):
        published(str(out), "clean")


def test_failures_must_be_one_clear_line():
    clear = Outcome(1, "", "warning: something\nerror: x: is missing; check the path\n", 1.0)
    assert clear.complaints() == []
    wrong = {
        "exit code 3": {"code": 3},
        "did not end": {"code": None},
        "a traceback": {"err": "Traceback (most recent call last)\nerror: x\n"},
        "several lines": {"err": "error: x\nerror: y\n"},
        "no line": {"err": "error: x\nsomething else\n"},
    }
    for complaint, change in wrong.items():
        (found,) = dataclasses.replace(clear, **change).complaints()
        assert complaint in found
