"""Rows read by byte offsets are those that Arrow reads."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ManifestError
from core.shards import Shards
from core.shards.blocks import LocalBytes
from core.shards.layout import ShardFile
from tests.core.shards.test_shards import COLUMNS, UNSAFE_NAME, folder  # noqa: F401


def open_file(folder, entry, facts):  # noqa: F811
    path = f"{folder}/{entry.path}"
    return ShardFile(path, LocalBytes(path), entry.rows, facts)


@given(st.data())
def test_offsets_lead_to_the_rows_that_arrow_reads(folder, data):  # noqa: F811
    shards = Shards.open(folder)
    entry = data.draw(st.sampled_from(shards.manifest.files))
    rows = np.array(data.draw(st.lists(st.integers(0, entry.rows - 1))) if entry.rows else [], np.int64)
    file = open_file(folder, entry, shards.facts)
    with pa.memory_map(f"{folder}/{entry.path}") as source:
        batch = pa.ipc.open_file(source).get_batch(0).take(pa.array(rows, pa.int64()))
    assert file.tokens(rows).tolist() == batch.column("tokens").to_pylist()
    spans = [span for row in batch.column("spans").to_pylist() for span in row]
    found, segments = file.spans(rows), file.segments(rows)
    counts = [len(row) for row in batch.column("spans").to_pylist()]
    assert found.bounds.tolist() == segments.bounds.tolist() == np.cumsum([0, *counts]).tolist()
    assert [each.tobytes() for each in found.document_id] == [span["document_id"] for span in spans]
    for column in COLUMNS[1:]:
        assert getattr(found, column).tolist() == [span[column] for span in spans]
    assert (segments.start == found.start).all() and (segments.length == found.length).all()


def test_document_ids_of_a_file(folder):  # noqa: F811
    shards = Shards.open(folder)
    (entry,) = shards.files("validation", UNSAFE_NAME)
    bounds, ids = shards.document_ids(entry)
    _, spans = shards.read("validation", UNSAFE_NAME, np.arange(entry.rows))
    assert bounds.tolist() == spans.bounds.tolist() and (ids == spans.document_id).all()


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"ARROW1\0\0",
        b"ARROW1\0\0" + b"\xff" * 12,
        b"ARROW1\0\0\xff\xff\xff\xff\x40\0\0\0" + b"x" * 5000,
    ],
)
def test_other_files_are_refused(tmp_path: Path, folder, content):  # noqa: F811
    shards = Shards.open(folder)
    (entry,) = shards.files("validation", UNSAFE_NAME)
    path = tmp_path / entry.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="not laid out as a shard file"):
        open_file(tmp_path, entry, shards.facts).tokens(np.array([0]))


def test_files_of_other_columns_are_refused(folder):  # noqa: F811
    shards = Shards.open(folder)
    (entry,) = shards.files("validation", UNSAFE_NAME)
    facts = shards.facts.model_copy(update={"sequence_length": shards.facts.sequence_length + 1})
    with pytest.raises(ManifestError, match="not laid out as a shard file"):
        open_file(folder, entry, facts).tokens(np.array([0]))
