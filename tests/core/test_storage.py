"""Storage operations on local disk, on an S3 server and on HDFS."""

import hashlib
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from core import storage
from core.errors import InputError, OutputError


@pytest.fixture(
    params=[
        "local",
        pytest.param("s3", marks=pytest.mark.server),
        pytest.param("hdfs", marks=pytest.mark.server),
    ]
)
def root(request, tmp_path):
    """A new path for each test; nothing exists there yet."""
    base = str(tmp_path) if request.param == "local" else request.getfixturevalue(request.param)
    return storage.join(base, uuid.uuid4().hex)


def _paths(found):
    return [file.path for file in found]


def test_write_atomic_round_trips_and_overwrites(root):
    path = storage.join(root, "a", "b", "file.bin")
    assert not storage.exists(path)
    for data in (b"", b"one", b"\x00\xff" * 3_000_000, b"two"):
        storage.write_atomic(path, data)
        assert storage.exists(path)
        assert storage.read_bytes(path) == data
    assert storage.exists(storage.join(root, "a"))
    assert _paths(storage.list_files(root)) == [path]  # no temporary file is left


def test_readers_never_see_a_partial_file(root):
    path = storage.join(root, "file.bin")
    versions = [bytes([number]) * 500_000 for number in range(1, 7)]
    storage.write_atomic(path, versions[0])

    def write():
        for version in versions:
            storage.write_atomic(path, version)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        seen = set()
        while not writing.done():
            seen.add(storage.read_bytes(path))
        writing.result()
    assert seen <= set(versions)


def test_open_read_supports_seeking(root):
    path = storage.join(root, "file.bin")
    data = bytes(range(256)) * 40_000
    storage.write_atomic(path, data)
    with storage.open_read(path) as stream:
        assert stream.seekable()
        assert stream.seek(5_000_001) == 5_000_001
        assert stream.tell() == 5_000_001
        assert stream.read(7) == data[5_000_001:5_000_008]
        stream.seek(0)
        assert stream.read(3) == data[:3]
        assert stream.seek(-2, 2) == len(data) - 2
        assert stream.read() == data[-2:]
        assert stream.read(1) == b""


def test_read_range_stops_at_the_end_of_the_file(root):
    path = storage.join(root, "file.bin")
    storage.write_atomic(path, bytes(range(100)))
    assert storage.read_range(path, 10, 20) == bytes(range(10, 30))
    assert storage.read_range(path, 90, 20) == bytes(range(90, 100))
    assert storage.read_range(path, 500, 20) == b""
    with pytest.raises(InputError, match="no such file"):
        storage.read_range(storage.join(root, "none"), 0, 1)


@pytest.mark.server
@pytest.mark.parametrize("kind", ["s3", "hdfs"])
def test_files_can_be_in_the_root_of_a_server(kind, request):
    path = storage.join(request.getfixturevalue(kind), f"{uuid.uuid4().hex}.bin")
    storage.write_atomic(path, b"atomic")
    assert storage.read_bytes(path) == b"atomic"
    with storage.open_write(path) as stream:
        stream.write(b"written")
    assert storage.read_range(path, 1, 3) == b"rit"
    storage.remove(path)
    assert not storage.exists(path)


def test_open_read_supports_lines(root):
    path = storage.join(root, "file.txt")
    lines = [b"one\n", b"\n", b"x" * 2_000_000 + b"\n", b"end"]
    storage.write_atomic(path, b"".join(lines))
    with storage.open_read(path) as stream:
        assert stream.readline() == lines[0]
        assert list(stream) == lines[1:]
    assert stream.closed
    storage.write_atomic(path, b"")
    with storage.open_read(path) as stream:
        assert stream
        assert list(stream) == []


def test_upload_copies_a_local_file(root, tmp_path):
    source = tmp_path / "source.bin"
    data = bytes(range(256)) * 30_000
    source.write_bytes(data)
    path = storage.join(root, "folder", "target.bin")
    storage.write_atomic(path, b"before")
    storage.upload(str(source), path)
    assert storage.read_bytes(path) == data
    assert storage.checksum(path) == (len(data), hashlib.sha256(data).hexdigest())
    assert _paths(storage.list_files(root)) == [path]
    assert source.exists()


def test_file_appears_only_if_its_block_ends_well(root):
    path = storage.join(root, "folder", "file")
    storage.write_atomic(storage.join(root, "folder", "other"), b"x")
    with pytest.raises(ZeroDivisionError), storage.open_write(path) as stream:
        stream.write(b"part")
        raise ZeroDivisionError
    assert _paths(storage.list_files(root)) == [storage.join(root, "folder", "other")]
    fs, inner = storage.filesystem(storage.join(root, "folder"))
    assert [storage.name(each) for each in fs.find(inner)] == ["other"]
    with storage.open_write(path) as stream:
        stream.write(b"all ")
        stream.write(b"of it")
    assert storage.read_bytes(path) == b"all of it"


def test_list_files_is_sorted_and_skips_hidden_files(root):
    for inner in ("b/2.txt", "b/1.txt", "a.txt", "c/d/3.txt", "_SUCCESS", ".hidden", "b/_x/4", "c/.y/5"):
        storage.write_atomic(storage.join(root, inner), inner.encode())
    found = storage.list_files(root)
    assert _paths(found) == [
        storage.join(root, inner) for inner in ("a.txt", "b/1.txt", "b/2.txt", "c/d/3.txt")
    ]
    assert [file.size for file in found] == [5, 7, 7, 9]
    assert storage.list_files(root + "/") == found
    assert storage.list_files(storage.join(root, "b", "1.txt")) == found[1:2]
    assert storage.read_bytes(found[3].path) == b"c/d/3.txt"


@pytest.mark.server
def test_process_can_fork_after_reading_from_hdfs(hdfs):
    code = (
        "import os, sys; from core import storage; storage.exists(sys.argv[1]);"
        "child = os.fork(); child or os._exit(0); sys.exit(os.waitpid(child, 0)[1])"
    )
    subprocess.run([sys.executable, "-c", code, f"{hdfs}/"], timeout=60, check=True)


def test_list_files_accepts_a_hidden_folder_by_name(root):
    path = storage.join(root, "_work", "1.txt")
    storage.write_atomic(path, b"1")
    assert _paths(storage.list_files(storage.join(root, "_work"))) == [path]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*.txt", ["a.txt"]),
        ("b/*", ["b/1.txt", "b/2.gz"]),
        ("*/1.txt", ["b/1.txt", "c/1.txt"]),
        ("[bc]", ["b/1.txt", "b/2.gz", "c/1.txt", "c/d/3.txt"]),
        ("?/d/3.*", ["c/d/3.txt"]),
        ("**/*.txt", ["a.txt", "b/1.txt", "c/1.txt", "c/d/3.txt"]),
    ],
)
def test_list_files_expands_globs(root, glob, expected):
    for inner in ("a.txt", "b/1.txt", "b/2.gz", "c/1.txt", "c/d/3.txt", "b/.1.txt"):
        storage.write_atomic(storage.join(root, inner), b"x")
    found = _paths(storage.list_files(storage.join(root, glob)))
    assert found == [storage.join(root, inner) for inner in expected]


def test_names_with_spaces_and_non_latin_letters(root):
    paths = [storage.join(root, inner) for inner in ("a b/c+d%20.txt", "a;b#c?d=e.txt", "ä/文書.txt")]
    for path in paths:
        storage.write_atomic(path, path.encode())
    assert _paths(storage.list_files(root)) == sorted(paths)
    assert [storage.read_bytes(path) for path in paths] == [path.encode() for path in paths]


@pytest.mark.server
def test_list_files_skips_hadoop_folder_markers(s3):
    root = storage.join(s3, uuid.uuid4().hex)
    bucket, key = root.removeprefix("s3://").split("/")
    for inner in ("", "folder/", "folder/below/", "folder/file"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"{key}/{inner}")
    assert _paths(storage.list_files(root)) == [storage.join(root, "folder", "file")]
    assert _paths(storage.list_files(storage.join(root, "*"))) == [storage.join(root, "folder", "file")]


def test_version_changes_when_a_file_is_rewritten(root):
    path = storage.join(root, "file")
    storage.write_atomic(path, b"one")
    (before,) = storage.list_files(path)
    assert before.version
    assert storage.list_files(path) == [before]
    storage.write_atomic(path, b"two")
    (after,) = storage.list_files(path)
    assert after.version != before.version


def test_errors_name_the_missing_path_and_a_remedy(root):
    missing = storage.join(root, "missing")
    for attempt in (
        storage.list_files,
        storage.read_bytes,
        storage.open_read,
        storage.checksum,
        lambda path: storage.list_files(storage.join(path, "*.gz")),
    ):
        with pytest.raises(InputError, match="missing") as caught:
            attempt(missing)
        assert "\n" not in str(caught.value)
        assert "check the path" in str(caught.value)


def test_read_bytes_rejects_a_folder(root):
    storage.write_atomic(storage.join(root, "folder", "file"), b"x")
    with pytest.raises(InputError, match="no such file"):
        storage.read_bytes(storage.join(root, "folder"))


def test_remove_accepts_files_folders_and_missing_paths(root):
    for inner in ("a/1", "a/b/2", "c"):
        storage.write_atomic(storage.join(root, inner), b"x")
    storage.remove(storage.join(root, "a"))
    assert not storage.exists(storage.join(root, "a"))
    assert _paths(storage.list_files(root)) == [storage.join(root, "c")]
    storage.remove(storage.join(root, "c"))
    storage.remove(storage.join(root, "c"))
    assert not storage.exists(storage.join(root, "c"))


def test_all_but_some_files_are_removed(root):
    folder, kept = storage.join(root, "a"), ["b/2", "ü%201.arrow"]
    for inner in (*kept, "1", "b/.2.0123", ".c/d/3", "b/[v2]"):
        storage.write_atomic(storage.join(folder, inner), b"x")
    storage.write_atomic(storage.join(root, "ab"), b"x")
    with pytest.raises(OutputError, match=r"b/4: was written, but is missing"):
        storage.remove_others(folder, [*kept, "b/4"])
    assert storage.exists(storage.join(folder, "1"))
    storage.remove_others(folder, kept)
    assert _paths(storage.list_files(folder)) == [storage.join(folder, inner) for inner in kept]
    assert not any(storage.exists(storage.join(folder, inner)) for inner in ("b/.2.0123", ".c/d/3", "b/[v2]"))
    storage.remove_others(folder, [])
    storage.remove_others(storage.join(root, "missing"), [])
    assert _paths(storage.list_files(root)) == [storage.join(root, "ab")]


def test_files_of_any_name_are_renamed(root):
    source, target = storage.join(root, "100% a=1 [v2]", "*.tmp"), storage.join(root, "100% a=1 [v2]", "ü?")
    storage.write_atomic(source, b"new")
    storage.write_atomic(target, b"old")
    assert storage.exists(target)
    storage.rename(source, target)
    assert (storage.read_bytes(target), storage.exists(source)) == (b"new", False)
    assert _paths(storage.list_files(root)) == [target]


@pytest.mark.parametrize("path", ["ftpx://host/file", "ftp://host/file", "s3a//x://"])
def test_unknown_schemes_are_rejected(path):
    with pytest.raises(InputError, match=r"use a local path, s3://, hdfs:// or https://"):
        storage.exists(path)


def test_path_helpers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage.absolute("a/../b/") == f"{tmp_path}/b"
    assert storage.absolute("s3://bucket/a/") == "s3://bucket/a"
    assert storage.spark_path("s3://bucket/a") == "s3a://bucket/a"
    assert storage.spark_path("hdfs://host:1/a") == "hdfs://host:1/a"
    assert storage.spark_path("a") == f"file://{tmp_path}/a"
    assert storage.name("s3://bucket/a/b.txt/") == "b.txt"
    assert storage.join("s3://bucket/", "a", "b") == "s3://bucket/a/b"
    assert storage.is_local("a/b")
    assert storage.is_local("file:///a")
    assert not storage.is_local("hdfs://host/a")


def test_local_copy_is_made_once_per_version(root, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = storage.join(root, "models", "one.bin")
    with pytest.raises(InputError, match="nothing there"):
        storage.local_copy(path)
    storage.write_atomic(path, b"first")
    storage.write_atomic(storage.join(root, "models", "below", "two.txt"), b"words")
    copy = storage.local_copy(path)
    assert storage.is_local(copy) and storage.name(copy) == "one.bin"
    assert storage.read_bytes(copy) == b"first" and storage.local_copy(path) == copy
    folder = storage.local_copy(storage.join(root, "models"))
    assert storage.read_bytes(storage.join(folder, "below", "two.txt")) == b"words"
    storage.write_atomic(path, b"second, which is longer")
    assert storage.read_bytes(storage.local_copy(path)) == b"second, which is longer"
    assert storage.is_local(root) == (not (tmp_path / "cache").exists())
