"""HDFS that is not ready, and blocks that cannot be read at once."""

import gc
import os
import threading
import time
import uuid

import pytest
from hdfs_native import FileWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import storage
from core.errors import InputError, MissingFileError, UnavailableError
from core.storage import exclusive, retries
from core.storage.hdfs import BUFFER, WHOLE, _RawReader, _RawWriter, _Reader
from tests.servers.hdfs import administer

DATA = bytes(range(256)) * 1000
LOST = RuntimeError('DataTransferError("Failed to connect to DataNode")')


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


class File:
    """A reader of hdfs-native whose next reads have the results in ``results``, then the content."""

    def __init__(self, data=DATA, results=()):
        self.size, self._data, self.results = len(data), data, list(results)

    def read_range(self, offset, length):
        result = self.results.pop(0) if self.results else self._data[offset : offset + length]
        if isinstance(result, Exception):
            raise result
        return result


def test_read_that_fails_or_is_short_is_repeated_on_the_file_opened_anew(capsys):
    files = iter([File(results=[DATA[:100], LOST]), File(results=[LOST]), File()])
    reader = _RawReader("hdfs://h:1/a", lambda: next(files))
    assert reader.read(100) == DATA[:100]
    assert reader.readall() == DATA[100:]
    assert capsys.readouterr().err.count("warning: hdfs://h:1/a: the server cannot be used (Data") == 2
    short = _RawReader("hdfs://h:1/a", lambda: File(results=[DATA[:10]]))
    assert short.read(100) == DATA[:100]
    assert "the server sent 10 of 100 bytes" in capsys.readouterr().err


def test_position_follows_reads_and_seeks():
    reader = _RawReader("hdfs://h:1/a", File)
    assert (reader.seek(10), reader.read(5), reader.tell()) == (10, DATA[10:15], 15)
    assert (reader.seek(-5, os.SEEK_END), reader.read(99)) == (len(DATA) - 5, DATA[-5:])
    assert (reader.seek(1, os.SEEK_CUR), reader.read(1)) == (len(DATA), b"")
    with pytest.raises(InputError, match="byte -1 is before the file"):
        reader.seek(-1)


def test_small_and_large_reads_follow_each_other():
    data = os.urandom(5 * BUFFER + 17)
    with _Reader(_RawReader("hdfs://h:1/a", lambda: File(data)), BUFFER) as reader:
        assert reader.read(10) == data[:10]
        assert reader.read(BUFFER + 5) == data[10 : BUFFER + 15]
        assert reader.tell() == BUFFER + 15
        assert reader.read(3) == data[BUFFER + 15 : BUFFER + 18]
        assert reader.seek(4 * BUFFER) == 4 * BUFFER
        assert reader.read(BUFFER) == data[4 * BUFFER : 5 * BUFFER]
        assert reader.read(2 * BUFFER) == data[5 * BUFFER :]
        assert reader.read(2 * BUFFER) == b""
        reader.seek(-20, os.SEEK_END)
        assert reader.read() == data[-20:]


def test_file_that_changed_in_between_is_an_error():
    files = iter([File(results=[LOST]), File(DATA[:-1])])
    reader = _RawReader("hdfs://h:1/a", lambda: next(files))
    with pytest.raises(InputError, match=r"had 256000 bytes and now has 255999; leave it unchanged"):
        reader.readall()


def test_failures_that_do_not_end_are_errors_of_ours(monkeypatch):
    monkeypatch.setattr(retries, "SECONDS", 0.1)
    reader = _RawReader("hdfs://h:1/a", lambda: File(results=[LOST] * 9))
    with pytest.raises(UnavailableError, match=r"hdfs://h:1/a: the server cannot be used .* after \d+ at"):
        reader.readall()
    missing = _RawReader("hdfs://h:1/a", lambda: File(results=[FileNotFoundError("/a")]))
    with pytest.raises(MissingFileError):
        missing.readall()


class Written:
    """The client's part of a file that is written; ``failing``: numbers of its calls that fail."""

    def __init__(self, *failing):
        self.failing, self.calls, self.data, self.is_complete = failing, 0, b"", False

    def _call(self):
        self.calls += 1
        if self.calls in self.failing:
            raise LOST

    def write(self, data):
        self._call()
        self.data += data
        return len(data)

    def close(self):
        self._call()
        self.is_complete = True


def writer_to(*files):
    """Return a writer that creates the next of the files whenever it begins."""
    left = iter(files)
    return _RawWriter("hdfs://h:1/a", lambda: FileWriter(next(left)))


@given(chunks=st.lists(st.integers(0, 6), max_size=6), failures=st.lists(st.sampled_from([1, 2]), max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_small_file_is_written_whole_or_again(monkeypatch, chunks, failures):
    monkeypatch.setattr(retries.time, "sleep", lambda _: None)
    *failed, complete = files = [*(Written(call) for call in failures), Written()]
    with writer_to(*files) as writer:
        for size in chunks:
            assert writer.write(b"x" * size) == size
    assert complete.data == b"x" * sum(chunks)
    assert complete.is_complete
    assert not any(file.is_complete for file in failed)


@pytest.mark.parametrize("sizes", [[WHOLE], [1, WHOLE - 1, 5], [WHOLE - 1, 2 * WHOLE], [3 * WHOLE, 0, 1]])
def test_large_file_is_begun_again_and_then_written_once(monkeypatch, sizes):
    monkeypatch.setattr(retries.time, "sleep", lambda _: None)
    failed, complete = Written(1), Written()
    with writer_to(failed, complete) as writer:
        for number, size in enumerate(sizes):
            writer.write(bytes([number]) * size)
    assert complete.data == b"".join(bytes([number]) * size for number, size in enumerate(sizes))
    assert complete.is_complete
    assert not failed.is_complete


def test_large_file_whose_write_failed_is_dropped():
    file = Written(2)
    writer = writer_to(file)
    writer.write(bytes(WHOLE))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="DataTransferError"):
            writer.write(b"a")
    writer.close()
    del writer
    gc.collect()
    assert (file.data, file.calls) == (bytes(WHOLE), 2)


def test_discarded_file_is_not_sent():
    file = Written()
    writer = writer_to(file)
    writer.write(b"abc")
    writer.discard()
    writer.close()
    assert file.calls == 0


@pytest.mark.server
def test_write_waits_for_the_end_of_safe_mode(hdfs, capsys):
    path = storage.join(hdfs, uuid.uuid4().hex, "file")
    administer(hdfs, "-safemode", "enter")
    leaving = threading.Timer(1.0, administer, (hdfs, "-safemode", "leave"))
    leaving.start()
    started = time.monotonic()
    try:
        storage.write_atomic(path, DATA)
    finally:
        leaving.join()
    assert time.monotonic() - started > 1
    assert storage.read_bytes(path) == DATA
    assert [file.path for file in storage.list_files(path.rpartition("/")[0])] == [path]
    assert f"warning: {path}: HDFS is not ready (SafeModeException: " in capsys.readouterr().err


@pytest.mark.server
def test_folder_that_cannot_be_listed_is_not_empty(hdfs, monkeypatch):
    root = storage.join(hdfs, uuid.uuid4().hex)
    for name in ("a/1", "b/2"):
        storage.write_atomic(storage.join(root, name), b"x")
    fs, _ = storage.filesystem(root)
    listed = type(fs).ls

    def ls(self, path, *arguments, **options):
        if path.endswith("/b"):
            raise PermissionError("b")
        return listed(self, path, *arguments, **options)

    monkeypatch.setattr(type(fs), "ls", ls)
    for path in (root, storage.join(root, "**/2")):
        with pytest.raises(UnavailableError, match="access is denied"):
            storage.list_files(path)


def test_files_in_the_root_folder(hdfs, tmp_path):
    path = storage.join(hdfs, f"{tmp_path.name}.bin")
    storage.write_atomic(path, b"one")
    assert storage.read_bytes(path) == b"one"
    assert not exclusive.create(path, b"two")
    storage.remove(path)
    assert exclusive.create(path, b"two")
    assert storage.read_bytes(path) == b"two"
    storage.remove(path)
