"""Splits are grouped without loss, in order, into portions and into tasks of similar size."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.grouping import OPEN_BYTES, cut_portions, group_splits
from pipeline.readers.record import InputSplit

LENGTHS = st.lists(st.integers(1, 1 << 27), max_size=60)


def splits(lengths: list[int]) -> list[InputSplit]:
    return [InputSplit(f"{n}", f"{n}", "warc", "s", 0, length) for n, length in enumerate(lengths)]


@given(LENGTHS, st.integers(1 << 16, 1 << 27), st.integers(1, 200))
def test_groups_hold_every_split_once_and_in_order(lengths: list[int], most: int, tasks: int) -> None:
    groups = group_splits(splits(lengths), most, tasks)
    assert [split for group in groups for split in group] == splits(lengths)
    assert all(groups)


@given(LENGTHS, st.integers(1 << 16, 1 << 27), st.integers(1, 200))
def test_groups_of_several_splits_are_at_most_as_large_as_asked(
    lengths: list[int], most: int, tasks: int
) -> None:
    costs = [
        [split.length + OPEN_BYTES for split in group] for group in group_splits(splits(lengths), most, tasks)
    ]
    assert all(sum(group) <= most for group in costs if len(group) > 1)
    limit = min(most, sum(map(sum, costs)) // tasks)
    assert all(sum(group) + following[0] > limit for group, following in pairwise(costs)), (
        "neighbours fit together"
    )


@given(LENGTHS, st.integers(1 << 16, 1 << 30))
def test_portions_hold_every_split_once_and_in_order(lengths: list[int], most: int) -> None:
    portions = cut_portions(splits(lengths), most)
    assert [split for portion in portions for split in portion] == splits(lengths)
    assert all(portions) or portions == [[]]
    sizes = [sum(split.length + OPEN_BYTES for split in portion) for portion in portions]
    assert all(size <= most for size, portion in zip(sizes, portions, strict=True) if len(portion) > 1)


def test_parts_of_a_large_file_have_a_task_each() -> None:
    assert len(group_splits(splits([1 << 27] * 400), 1 << 27, 16)) == 400


def test_a_million_tiny_files_share_some_thousand_tasks() -> None:
    groups = group_splits(splits([10_000] * 1_000_000), 1 << 27, 16)
    assert 2_000 <= len(groups) <= 2_200
    assert max(map(len, groups)) - min(map(len, groups[:-1])) <= 1


def test_few_small_files_use_all_cores() -> None:
    assert 64 <= len(group_splits(splits([1_000_000] * 109), 1 << 27, 64)) <= 109
