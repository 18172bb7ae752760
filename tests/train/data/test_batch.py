from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.shards import Segments
from train.data.batch import IGNORE_INDEX, batch_hash, document_ids_from_segments, make_batch


def segments(rows: list[list[tuple[int, int]]]) -> Segments:
    """Segments of rows of (start, length)."""
    flat = [item for row in rows for item in row]
    start, length = (np.array([item[i] for item in flat], np.int32) for i in (0, 1))
    bounds = np.cumsum([0, *(len(row) for row in rows)])
    return Segments(bounds, start, length)


def test_documents_are_numbered_and_padding_is_minus_one() -> None:
    numbers = document_ids_from_segments(segments([[(0, 2), (2, 3)], [], [(0, 5), (5, 1)]]), 6)
    assert numbers.tolist() == [[0, 0, 1, 1, 1, -1], [-1] * 6, [2, 2, 2, 2, 2, 3]]


def test_only_the_next_token_of_the_same_document_is_a_target() -> None:
    tokens = np.arange(10, 16, dtype=np.uint32)[None]
    batch = make_batch(tokens, document_ids_from_segments(segments([[(0, 2), (2, 3)]]), 6))
    assert batch.inputs.tolist() == [[10, 11, 12, 13, 14]]
    assert batch.targets.tolist() == [[11, IGNORE_INDEX, 13, 14, IGNORE_INDEX]]
    assert batch.document_ids.tolist() == [[0, 0, 1, 1, 1]]
    assert batch.num_targets == 3


def test_micro_batches_cover_the_batch() -> None:
    tokens = np.arange(70, dtype=np.uint32).reshape(7, 10)
    batch = make_batch(tokens, np.zeros((7, 10), np.int64))
    micro_batches = batch.split(3)
    assert [len(item.inputs) for item in micro_batches] == [3, 3, 1]
    assert torch.equal(torch.cat([item.targets for item in micro_batches]), batch.targets)


@settings(deadline=None)
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
