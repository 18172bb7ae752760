"""Rows of several local files are gathered at once, and never from beyond the files."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ManifestError
from core.shards import Shards
from tests.core.shards.test_shards import COLUMNS, folder  # noqa: F401

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
