from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.shards import Segments
from train.data.batch import IGNORE_INDEX, Batch, batch_hash, document_ids_from_segments
from train.data.dataset import PackedRows


def segments(rows: list[list[tuple[int, int]]]) -> Segments:
    """Segments of rows of (start, length)."""
    flat = [item for row in rows for item in row]
    start, length = (np.array([item[i] for item in flat], np.int32) for i in (0, 1))
    bounds = np.cumsum([0, *(len(row) for row in rows)])
    return Segments(bounds, start, length)


def test_documents_are_numbered_and_padding_is_minus_one() -> None:
    numbers = document_ids_from_segments(segments([[(0, 2), (2, 3)], [], [(0, 5), (5, 1)]]), 6)
    assert numbers.tolist() == [[0, 0, 1, 1, 1, -1], [-1] * 6, [0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize(("length", "dtype"), [(32_767, np.int16), (32_768, np.int32)])
def test_documents_of_one_token_fill_the_longest_rows(length: int, dtype: type[np.signedinteger]) -> None:
    numbers = document_ids_from_segments(segments([[(at, 1) for at in range(length)]]), length)
    assert numbers.dtype == dtype
    assert (numbers == np.arange(length)).all()


def test_only_the_next_token_of_the_same_document_is_a_target() -> None:
    tokens = np.arange(10, 16, dtype=np.uint32)[None]
    numbers = document_ids_from_segments(segments([[(0, 2), (2, 3)]]), 6)
    batch = PackedRows(tokens, numbers).batch()
    assert batch.inputs.tolist() == [[10, 11, 12, 13, 14]]
    assert batch.targets.tolist() == [[11, IGNORE_INDEX, 13, 14, IGNORE_INDEX]]
    assert batch.document_ids.tolist() == [[0, 0, 1, 1, 1]]
    assert batch.num_targets == 3
    masked = Batch(batch.tokens, batch.documents, torch.tensor([[True, True, True, False, True, True]]))
    assert masked.targets.tolist() == [[11, IGNORE_INDEX, IGNORE_INDEX, 14, IGNORE_INDEX]]
    assert masked.num_targets == 2


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_the_largest_tokens_are_kept(dtype: type[np.unsignedinteger]) -> None:
    tokens = np.full((1, 3), np.iinfo(dtype).max, dtype)
    batch = PackedRows(tokens, np.zeros((1, 3), np.int32)).batch()
    assert batch.inputs.tolist() == batch.targets.tolist() == [[int(tokens[0, 0])] * 2]


@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=5), st.integers(0, 2))
def test_documents_of_random_rows(lengths: list[list[int]], gap: int) -> None:
    """Segments with padding of ``gap`` tokens before each, and one document after another without."""
    row_length = max(sum(row) + gap * len(row) for row in lengths) + 1
    rows, expected = [], []
    for row in lengths:
        at, spans, documents = 0, [], []
        for number, length in enumerate(row):
            spans.append((at + gap, length))
            documents += [-1] * gap + [number] * length
            at += gap + length
        rows.append(spans)
        expected.append(documents + [-1] * (row_length - len(documents)))
    assert document_ids_from_segments(segments(rows), row_length).tolist() == expected


def test_micro_batches_cover_the_batch() -> None:
    tokens = np.arange(70, dtype=np.uint32).reshape(7, 10)
    learned = np.arange(70).reshape(7, 10) % 3 > 0
    batch = PackedRows(tokens, np.zeros((7, 10), np.int32), learned).batch()
    micro_batches = batch.split(3)
    assert [len(item.inputs) for item in micro_batches] == [3, 3, 1]
    assert torch.equal(torch.cat([item.targets for item in micro_batches]), batch.targets)


@given(st.lists(st.integers(0, 12), max_size=3), st.integers(0, 2**32))
def test_hash_does_not_depend_on_the_division_among_processes(cuts: list[int], start: int) -> None:
    tokens = np.random.default_rng(1).integers(0, 99, (12, 5), dtype=np.uint32)
    positions = np.arange(start, start + 12)
    bounds = [0, *sorted(cuts), 12]
    parts = [batch_hash(tokens[a:b], positions[a:b]) for a, b in pairwise(bounds) if b > a]
    assert (sum(parts) - batch_hash(tokens, positions)) % 2**64 == 0


def test_hash_depends_on_tokens_and_order() -> None:
    tokens, positions = np.arange(20, dtype=np.uint32).reshape(4, 5), np.arange(4)
    whole = batch_hash(tokens, positions)
    assert whole != batch_hash(tokens[::-1], positions)
    changed = tokens.copy()
    changed[3, 4] += 1
    assert whole != batch_hash(changed, positions)
