"""Rows read by byte ranges are those that Arrow reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ManifestError
from core.shards import Shards
from core.shards.layout import read_document_ids, read_rows
from tests.core.shards.test_shards import COLUMNS, UNSAFE_NAME, folder  # noqa: F401


@settings(deadline=None)
@given(st.data())
def test_ranges_hold_the_rows(folder, data):  # noqa: F811
    shards = Shards.open(folder)
    first_row = 0
    for entry in shards.files("train", "web"):
        first = data.draw(st.integers(0, entry.rows))
        past = data.draw(st.integers(first, entry.rows))
        read = read_rows(folder, entry, shards.facts, first, past)
        tokens, spans = shards.read("train", "web", np.arange(first_row + first, first_row + past))
        assert read.tokens.dtype == tokens.dtype and (read.tokens == tokens).all()
        assert read.spans.bounds.tolist() == spans.bounds.tolist()
        for column in COLUMNS:
            assert (getattr(read.spans, column) == getattr(spans, column)).all()
        first_row += entry.rows


def test_document_ids_of_a_file(folder):  # noqa: F811
    shards = Shards.open(folder)
    (entry,) = shards.files("validation", UNSAFE_NAME)
    bounds, ids = read_document_ids(folder, entry, shards.facts)
    _, spans = shards.read("validation", UNSAFE_NAME, np.arange(entry.rows))
    assert bounds.tolist() == spans.bounds.tolist() and (ids == spans.document_id).all()


@pytest.mark.parametrize("content", [b"", b"ARROW1\0\0", b"ARROW1\0\0" + b"\xff" * 12, b"x" * 5000])
def test_other_files_are_refused(tmp_path, folder, content):  # noqa: F811
    shards = Shards.open(folder)
    (entry,) = shards.files("validation", UNSAFE_NAME)
    path = tmp_path / entry.path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="not laid out as a shard file"):
        read_rows(str(tmp_path), entry, shards.facts, 0, 1)
