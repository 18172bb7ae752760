"""Positions of steps, whose number of rows may change on the way."""

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core import config
from train.data.batch_sizes import BatchSizes

PHASES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), min_size=1, max_size=4)
"""Number of steps and batch size, in units of 12 rows, of each phase."""


@given(PHASES, st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_steps_consume_every_position_once_at_any_world_size(
    phases: list[tuple[int, int]], world_size: int
) -> None:
    starts = [*accumulate((length for length, _ in phases), initial=1)]
    sizes = [12 * size for _, size in phases]
    batch_sizes = BatchSizes(sizes[0], [*zip(starts[1:-1], sizes[1:], strict=True)])
    expected = [size for (length, _), size in zip(phases, sizes, strict=True) for _ in range(length)]
    expected += [sizes[-1]] * 3  # the last phase has no end
    seen: list[int] = []
    for step, size in enumerate(expected, 1):
        assert batch_sizes.size(step) == size
        assert batch_sizes.first_position(step) == len(seen)
        parts = [batch_sizes.positions(step, rank, world_size) for rank in range(world_size)]
        assert {len(part) for part in parts} == {size // world_size}
        assert {batch_sizes.step(position) for part in parts for position in part.tolist()} == {step}
        seen += np.concatenate(parts).tolist()
    assert seen == list(range(sum(expected)))
    for first in (1, len(expected)):
        parted = [*batch_sizes.phases(range(first, len(expected) + 1))]
        assert [step for part, _ in parted for step in part] == [*range(first, len(expected) + 1)]
        assert [size for part, size in parted for _ in part] == expected[first - 1 :]
    assert [step for step in range(1, starts[-1]) if batch_sizes.changes_at(step)] == starts[1:-1]


def test_phases_are_those_of_the_configuration() -> None:
    phases = "[{from_step=3,batch_size=16},{from_step=5,batch_size=8}]"
    found = BatchSizes.of(
        config.load(None, ["train.batch_size=4", f"train.batch_size_schedule={phases}"]).train
    )
    assert [found.size(step) for step in range(1, 8)] == [4, 4, 16, 16, 8, 8, 8]
