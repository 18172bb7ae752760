"""Rows of several local files are gathered at once, and never from beyond the files."""

import gc
import shutil
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ManifestError
from core.shards import STAGE, Rows, Shards, Spans, groups, publish, write_file
from core.stage import Stage
from tests.core.shards.test_shards import BYTES, COLUMNS, HEADER, PARTS, folder  # noqa: F401

NUM_ROWS = 17


@given(st.lists(st.integers(0, NUM_ROWS - 1)))
def test_rows_of_all_files_are_those_that_arrow_reads(folder, indices):  # noqa: F811
    shards = Shards.open(folder)
    tables = []
    for entry in shards.files("train", "web"):
        with pa.memory_map(f"{folder}/{entry.path}") as source:
            tables.append(pa.ipc.open_file(source).read_all())
    expected = pa.concat_tables(tables).take(pa.array(indices, pa.int64()))
    tokens, spans = shards.read("train", "web", np.array(indices, np.int64))
    assert tokens.tolist() == expected.column("tokens").to_pylist()
    rows = expected.column("spans").to_pylist()
    assert np.diff(spans.bounds).tolist() == [len(row) for row in rows]
    for column in COLUMNS:
        values = [span[column] for row in rows for span in row]
        found = getattr(spans, column)
        assert ([each.tobytes() for each in found] if column == "document_id" else found.tolist()) == values
    same, segments = shards.read_segments("train", "web", np.array(indices, np.int64))
    assert (same == tokens).all() and (segments.bounds == spans.bounds).all()
    assert (segments.start == spans.start).all() and (segments.length == spans.length).all()


@pytest.mark.parametrize("value", [-1, 1 << 20, (1 << 31) - 1])
@pytest.mark.parametrize("place", range(8))
def test_spans_beyond_a_damaged_file_are_never_read(folder, tmp_path: Path, place, value):  # noqa: F811
    out = tmp_path / "shards"
    shutil.copytree(folder, out)
    shards = Shards.open(str(out), verify=False)
    path = out / shards.files("train", "web")[2].path  # 7 rows, hence 8 bounds
    with pa.memory_map(str(path)) as source:
        spans = pa.ipc.open_file(source).get_batch(0).column("spans")
        bounds = spans.offsets.buffers()[1].to_pybytes()
    content = bytearray(path.read_bytes())
    at = content.index(bounds[:32]) + 4 * place
    content[at : at + 4] = np.int32(value).tobytes()
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="not laid out as a shard file"):
        shards.read("train", "web", np.arange(NUM_ROWS))


@pytest.mark.parametrize("vocabulary_size", [300, 1 << 17])
@pytest.mark.parametrize("max_view", [groups._MAX_VIEW, 1 << 21])
def test_long_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vocabulary_size, max_view):
    monkeypatch.setattr(groups, "_MAX_VIEW", max_view)  # smaller: records are read in several parts
    length, out = 1 << 17, str(tmp_path)
    header = HEADER.model_copy(update={"sequence_length": length - 1, "vocabulary_size": vocabulary_size})
    random, ones = np.random.default_rng(0), np.ones(1, np.int32)
    tokens = random.integers(0, 300, (3, 1, length)).astype(header.dtype)
    spans = Spans(np.arange(2), 0 * ones, length * ones, np.zeros((1, 16), np.uint8), 0 * ones)
    files = [
        write_file(out, "train", "web", str(number), Rows(each, spans), header, BYTES)
        for number, each in enumerate(tokens)
    ]
    publish(Stage(STAGE, out), files, header)
    found, segments = Shards.open(out).read_segments("train", "web", np.array([2, 0, 1, 2]))
    assert found.dtype == header.dtype and (found == tokens[[2, 0, 1, 2], 0]).all()
    assert segments.length.tolist() == 4 * [length]


def test_sources_without_rows(tmp_path: Path):
    out = str(tmp_path)
    publish(Stage(STAGE, out), [write_file(out, "train", "web", "0", PARTS[1], HEADER, BYTES)], HEADER)
    tokens, spans = Shards.open(out).read("train", "web", np.zeros(0, np.int64))
    assert len(tokens) == len(spans.start) == 0 and spans.bounds.tolist() == [0]


def test_threads_that_open_files_at_once_read_the_same(folder):  # noqa: F811
    rows = np.random.default_rng(0).integers(0, NUM_ROWS, (64, 5))
    expected = [Shards.open(folder).read("train", "web", each)[0].tolist() for each in rows]
    shards = Shards.open(folder)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda each: shards.read("train", "web", each)[0].tolist(), rows))
    assert found == expected


def test_maps_are_closed_with_the_shards(folder):  # noqa: F811
    gc.disable()
    try:
        shards = Shards.open(folder)
        shards.read("train", "web", np.arange(NUM_ROWS))
        file = weakref.ref(shards._files.open(shards.files("train", "web")[0]))
        assert file() is not None
        del shards
        assert file() is None  # without a run of the cycle collector
    finally:
        gc.enable()


def test_more_files_than_may_be_open(tmp_path: Path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    code = f"""
import resource
from core.shards.blocks import LocalBytes
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
held = [LocalBytes({str(path)!r}) for _ in range(90)]
print("90 maps")
held += [LocalBytes({str(path)!r}) for _ in range(90)]
print("180 maps")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("90 maps"), done.stderr
    assert ("180 maps" in done.stdout) == (sys.version_info >= (3, 13))
    assert ("raise it with ulimit -n" in done.stderr) == (sys.version_info < (3, 13))
