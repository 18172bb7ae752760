"""Remote shards are read in verified blocks, which a cache of limited size keeps."""

import json
import os
import shutil
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import storage
from core.errors import InputError, ManifestError
from core.shards import Rows, Shards, Spans, blocks
from core.shards.blocks import GROUP_BLOCKS, BlockCache, LocalBytes, RemoteBytes, file_digests
from tests.core.shards.test_shards import _expect, _write
from tests.servers.web import web_server

BLOCK = 512


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr("core.shards.writer.BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(blocks, "RETRY_SECONDS", (0.0, 0.01))


@pytest.fixture
def remote(tmp_path):
    """A folder with shards in ``shards``, whose blocks are small, and the folder of a cache."""
    _write(str(tmp_path / "shards"))
    return tmp_path


def cached_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache").rglob("*") if path.is_file()]


@settings(max_examples=50)
@given(st.data())
def test_records_equal_those_of_the_local_file(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("file")
    path = folder / "data.bin"
    path.write_bytes(data.draw(st.binary(min_size=1, max_size=5 * BLOCK)))
    at = data.draw(st.integers(0, path.stat().st_size - 1))
    dtype, width = np.dtype(data.draw(st.sampled_from(["u1", "<u2", "<i4"]))), data.draw(st.integers(1, 700))
    number = (path.stat().st_size - at) // (dtype.itemsize * width)
    indices = np.array(data.draw(st.lists(st.integers(0, number - 1))) if number else [], np.int64)
    remote = RemoteBytes(
        f"file://{path}", path.stat().st_size, "f" * 64, file_digests(str(path)), BLOCK,
        BlockCache(folder / "cache", 1 << 20),
    )  # fmt: skip
    local = LocalBytes(str(path)).records(at, dtype, width, indices)
    assert local.shape == (len(indices), width)
    for _ in range(2):
        assert (remote.records(at, dtype, width, indices) == local).all()
    for file in (remote, LocalBytes(str(path))):
        with pytest.raises(IndexError):
            file.records(at, dtype, width, np.array([number]))


@pytest.mark.server
@settings(max_examples=20)
@given(indices=st.lists(st.integers(0, 16)))
def test_rows_over_the_web_equal_the_written_ones(tmp_path_factory, indices):
    folder = tmp_path_factory.mktemp("web")
    _write(str(folder / "shards"))
    with web_server(folder) as web:
        _expect(Shards.open(f"{web.url}/shards", cache=str(folder / "cache")), indices)


@pytest.mark.server
def test_blocks_are_fetched_once_by_all_processes_of_a_machine(remote):
    with web_server(remote) as web:
        for _ in range(2):  # the second has the same cache, as another process would
            _expect(Shards.open(f"{web.url}/shards", cache=str(remote / "cache")), [3, 16, 3, 9])
        ranges = Counter((each.path, each.start) for each in web.responses if each.path.endswith(".arrow"))
        heads = sum(each.length == 0 for each in web.responses)
    assert heads == 8  # sizes are compared whenever shards are opened
    assert sum(path.stat().st_size for path in cached_files(remote)) == sum(
        each.length for each in web.responses if each.path.endswith(".arrow")
    )
    assert max(count for (_, start), count in ranges.items() if start) == 1


@pytest.mark.server
def test_blocks_that_several_processes_want_at_once_are_fetched_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "GROUP_BLOCKS", 8)
    file, size = tmp_path / "data.bin", 20 * BLOCK
    file.write_bytes(np.arange(size // 4, dtype="<i4").tobytes())
    digests = file_digests(str(file))
    together = threading.Barrier(4)

    def read(url):
        cache = BlockCache(tmp_path / "cache", 1 << 20)  # of its own, as in another process
        data = RemoteBytes(url, size, "f" * 64, digests, BLOCK, cache)
        together.wait(10)
        return data.records(0, np.dtype("<i4"), 1, np.arange(size // 4))[:, 0]

    with web_server(tmp_path) as web, ThreadPoolExecutor(4) as threads:
        for found in threads.map(read, 4 * [f"{web.url}/data.bin"]):
            assert (found == np.arange(size // 4)).all()
        lengths = sorted(each.length for each in web.responses if each.length)
    assert lengths == [4 * BLOCK, 8 * BLOCK, 8 * BLOCK]
    assert len(cached_files(tmp_path)) == 20


@pytest.mark.server
def test_blocks_of_a_group_that_are_wanted_one_after_another_are_fetched_once(tmp_path, monkeypatch):
    file, size = tmp_path / "data.bin", GROUP_BLOCKS * BLOCK
    file.write_bytes(np.arange(size // 4, dtype="<i4").tobytes())
    digests = file_digests(str(file))
    at_once = storage.read_range

    def read_range(*arguments):
        time.sleep(0.05)
        return at_once(*arguments)

    monkeypatch.setattr(storage, "read_range", read_range)

    def read(number, wanted):
        time.sleep(0.03 * number)
        cache = BlockCache(tmp_path / "cache", 1 << 20)
        data = RemoteBytes(f"{web.url}/data.bin", size, "f" * 64, digests, BLOCK, cache)
        records = np.arange(wanted.start * BLOCK // 4, wanted.stop * BLOCK // 4)
        assert (data.records(0, np.dtype("<i4"), 1, records)[:, 0] == records).all()

    with web_server(tmp_path) as web, ThreadPoolExecutor(4) as threads:
        list(threads.map(read, range(4), [range(4), range(4, 12), range(4, 12), range(4, 16)]))
        assert sum(each.length for each in web.responses) == GROUP_BLOCKS * BLOCK


def test_blocks_with_gaps_are_requested_at_the_same_time(tmp_path, monkeypatch):
    file, size = tmp_path / "data.bin", 8 * BLOCK
    file.write_bytes(bytes(size))
    together = threading.Barrier(4)

    def read_range(path, offset, length):
        together.wait(10)
        return bytes(length)

    monkeypatch.setattr(storage, "read_range", read_range)
    cache = BlockCache(tmp_path / "cache", 1 << 20)
    data = RemoteBytes("https://example.org/x", size, "f" * 64, file_digests(str(file)), BLOCK, cache)
    assert not data.records(0, np.dtype("u1"), BLOCK, np.arange(0, 8, 2)).any()


@pytest.mark.server
def test_lost_connections_and_altered_responses_are_tried_again(remote):
    faults = iter([ConnectionError(), b"", lambda content: content[:-1] + bytes([content[-1] ^ 1])])

    def send(path, content):
        fault = next(faults, None) if path.endswith("part-00000.arrow") else None
        if isinstance(fault, ConnectionError):
            raise fault
        return fault(content) if callable(fault) else content

    with web_server(remote, send=send) as web:
        _expect(Shards.open(f"{web.url}/shards", cache=str(remote / "cache")), [0])
    assert next(faults, None) is None


@pytest.mark.server
def test_wrong_bytes_are_an_error_that_names_file_and_place(remote):
    def send(path, content):
        return b"\0" * len(content) if path.endswith("part-00002.arrow") else content

    with web_server(remote, send=send) as web:
        shards = Shards.open(f"{web.url}/shards", cache=str(remote / "cache"))
        _expect(shards, [3])
        with pytest.raises(
            ManifestError, match=r"part-00002\.arrow: bytes 0 to 512 differ from the manifest"
        ):
            shards.read("train", "web", np.array([12]))
        (remote / "shards/train/web/part-00000.arrow").unlink()
        with pytest.raises(InputError, match=r"part-00000\.arrow: no such file"):
            Shards.open(f"{web.url}/shards")


@pytest.mark.server
def test_neighbouring_blocks_are_one_request_and_a_wrong_one_is_named(tmp_path):
    file, size = tmp_path / "data.bin", 5 * BLOCK - 64
    file.write_bytes(np.arange(size // 4, dtype="<i4").tobytes())
    digests = file_digests(str(file))

    def read(web, cache):
        data = RemoteBytes(f"{web.url}/data.bin", size, "f" * 64, digests, BLOCK, BlockCache(cache, 1 << 20))
        return data.records(0, np.dtype("<i4"), 1, np.arange(size // 4))

    with web_server(tmp_path) as web:
        assert (read(web, tmp_path / "one")[:, 0] == np.arange(size // 4)).all()
        assert [each.length for each in web.responses if each.length] == [size]
        content = bytearray(file.read_bytes())
        content[2 * BLOCK] ^= 1
        file.write_bytes(content)
        with pytest.raises(ManifestError, match=rf"bytes {2 * BLOCK} to {3 * BLOCK} differ"):
            read(web, tmp_path / "other")


def test_a_damaged_block_on_disk_is_replaced(remote, monkeypatch):
    monkeypatch.setattr(storage, "is_local", lambda path: False)
    folder, cache = f"file://{remote}/shards", str(remote / "cache")
    _expect(Shards.open(folder, cache=cache), [3])
    for number, path in enumerate(cached_files(remote)):
        path.write_bytes([b"", b"x" * BLOCK][number % 2])
    _expect(Shards.open(folder, cache=cache), [3])


def test_the_cache_keeps_the_blocks_used_last_within_its_limit(tmp_path):
    cache = BlockCache(tmp_path, 10 * BLOCK)
    for number in range(40):
        data = bytes([number]) * BLOCK
        cache.add(f"file/{number}", data)
        os.utime(tmp_path / f"file/{number}", (number, number))
        if number:
            os.utime(tmp_path / "file/0", (100, 100))
    kept = sorted(int(path.name) for path in tmp_path.rglob("*") if path.is_file())
    assert 9 <= len(kept) <= 10 and kept == [0, *range(41 - len(kept), 40)]
    assert cache.find("file/1", "") is None
    found = cache.find("file/0", blocks.digest(bytes(BLOCK)))
    assert found is not None and found.tobytes() == bytes(BLOCK)


def test_a_tenth_of_the_disk_stays_free(tmp_path, monkeypatch):
    def usage(_):
        used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
        return SimpleNamespace(total=40 * BLOCK, free=10 * BLOCK - used)  # others use the rest

    monkeypatch.setattr(shutil, "disk_usage", usage)
    cache = BlockCache(tmp_path, 200 * BLOCK)
    for number in range(40):
        cache.add(f"file/{number}", bytes(BLOCK))
    assert 1 <= len(list((tmp_path / "file").iterdir())) <= 8


@pytest.mark.parametrize("folder", ["cache", "file/cache"])
def test_without_room_nothing_is_kept(tmp_path, folder):
    (tmp_path / "file").write_text("no folder can be made below a file")
    cache = BlockCache(tmp_path / folder, 0)
    assert cache.add("file/0", bytes(BLOCK)).tobytes() == bytes(BLOCK)
    assert cache.find("file/0", blocks.digest(bytes(BLOCK))) is None


def test_a_cache_that_cannot_be_written_is_done_without(remote, monkeypatch):
    monkeypatch.setattr(storage, "is_local", lambda path: False)
    (remote / "cache").write_text("a file")
    shards = Shards.open(f"file://{remote}/shards", cache=str(remote / "cache"))
    _expect(shards, [16, 3])
    read = shards.cache.bytes_read
    _expect(shards, [16, 3])
    assert shards.cache.bytes_read > read


def test_digests_must_be_those_of_the_files(remote):
    path = remote / "shards/manifest.json"
    path.write_text(path.read_text().replace('"block_bytes": 512', '"block_bytes": 1024'))
    with pytest.raises(ManifestError, match="its facts are not those of shards; run pack again"):
        Shards.open(str(remote / "shards"))


def test_shards_without_digests_are_read_from_local_disk_only(remote, monkeypatch):
    path = remote / "shards/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["facts"]["blocks"], manifest["facts"]["block_bytes"]
    path.write_text(json.dumps(manifest))
    _expect(Shards.open(str(remote / "shards")), [3])
    monkeypatch.setattr(storage, "is_local", lambda path: False)
    with pytest.raises(ManifestError, match="has no digests of blocks"):
        Shards.open(f"file://{remote}/shards").read("train", "web", np.array([3]))


def test_segments_of_several_parts_are_joined():
    one = Spans(
        np.array([0, 1]), *np.zeros((2, 1), np.int32), np.zeros((1, 16), np.uint8), np.zeros(1, np.int32)
    )
    joined = Spans.join([one, one])
    assert joined.bounds.tolist() == [0, 1, 2] and len(joined.document_id) == 2
    assert Rows(np.zeros((2, 4), np.uint16), joined).take(np.array([1])).spans.bounds.tolist() == [0, 1]
