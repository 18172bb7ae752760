import pytest

from core.storage.overlap import find_including, find_replaced

ENTRIES = ["documents", "ledger"]
FILES = ["manifest.json", "documents/part-00000.parquet"]


@pytest.mark.parametrize("root", ["/a", "s3://b/a", "hdfs://h:9000/a", "file:///a"])
@pytest.mark.parametrize(
    ("path", "is_replaced"),
    [
        ("/out/documents", True),
        ("/out/documents/", True),
        ("/out/ledger/x/part.parquet", True),
        ("/out/ledger/*.parquet", True),
        ("/out", False),
        ("/out/raw", False),
        ("/out/documents-2", False),
        ("", False),
    ],
)
def test_paths_in_the_entries_are_replaced(root, path, is_replaced):
    assert (find_replaced([root + path], f"{root}/out", ENTRIES) is not None) == is_replaced
    assert (find_replaced([root + path], f"{root}/out", []) is not None) == path.startswith("/out")


@pytest.mark.parametrize("root", ["/a", "s3://b/a", "hdfs://h:9000/a", "file:///a"])
@pytest.mark.parametrize(
    ("named", "includes"),
    [
        ("", True),
        ("/", True),
        ("/out", True),
        ("/*", True),
        ("/**", True),
        ("/o[u-v]t", True),
        ("/**/*.parquet", True),
        ("/*/manifest.json", True),
        ("/out/*.json", True),
        ("/out/raw", False),
        ("/out/documents-2/*", False),
        ("/*.jsonl", False),
        ("/**/*.jsonl.gz", False),
        ("/other", False),
        ("/ou", False),
        ("/a**b", False),
    ],
)
def test_folders_and_globs_include_what_they_would_list(root, named, includes):
    assert (find_including([root + named], f"{root}/out", FILES) is not None) == includes


def test_the_overlapping_path_is_returned_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    assert find_replaced(["x", "link/documents"], "in", ENTRIES) == "link/documents"
    assert find_including(["x", "./link"], str(tmp_path / "in" / "out"), FILES) == "./link"
    assert find_including(["x", "./link/*"], str(tmp_path / "in" / "out"), FILES) == "./link/*"
    assert find_replaced(["s3://b/documents"], "s3://c", ENTRIES) is None
