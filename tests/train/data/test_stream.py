import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ConfigError, InputError
from train.data.mixture import Mixture, Schedule
from train.data.permutation import BlockPermutation, Permutation
from train.data.stream import Stream

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=5)
ROWS = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1)


def epoch_of(order: Permutation, epoch: int) -> list[int]:
    places = np.arange(order.size, dtype=np.int64)
    return order.forward(places, np.full_like(places, epoch)).tolist()


@given(st.integers(1, 600), st.binary(max_size=8), st.integers(0, 10**6))
def test_permutation_is_a_bijection_with_an_inverse(rows: int, key: bytes, epoch: int) -> None:
    order = Permutation(rows, key)
    places, epochs = np.arange(rows, dtype=np.int64), np.full(rows, epoch, dtype=np.int64)
    permuted = order.forward(places, epochs)
    assert sorted(permuted.tolist()) == list(range(rows))
    assert np.array_equal(order.inverse(permuted, epochs), places)


def test_epochs_and_keys_give_different_random_orders() -> None:
    order = Permutation(1000, b"key")
    first, second, other = epoch_of(order, 0), epoch_of(order, 1), epoch_of(Permutation(1000, b"yek"), 0)
    for a, b in ((first, second), (first, other), (first, list(range(1000)))):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.12
        assert sum(x == y for x, y in zip(a, b, strict=True)) < 10
    steps = np.diff(first)
    assert abs(np.corrcoef(steps[:-1], steps[1:])[0, 1] + 0.5) < 0.12  # as for independent draws


def test_all_orders_of_three_rows_occur() -> None:
    order = Permutation(3, b"key")
    found = [tuple(epoch_of(order, epoch)) for epoch in range(600)]
    counts = [found.count(each) for each in set(found)]
    assert len(counts) == 6
    assert min(counts) > 60


@given(st.integers(1, 600), st.integers(1, 50), st.integers(1, 9), st.integers(0, 10**6))
def test_shuffled_blocks_are_a_bijection_with_an_inverse(
    rows: int, block: int, window: int, epoch: int
) -> None:
    order = BlockPermutation(rows, b"key", block, window)
    places, epochs = np.arange(rows, dtype=np.int64), np.full(rows, epoch, dtype=np.int64)
    permuted = order.forward(places, epochs)
    assert sorted(permuted.tolist()) == list(range(rows))
    assert np.array_equal(order.inverse(permuted, epochs), places)
    # A window holds whole blocks, apart from the shorter one, which moves the boundary into another.
    for first in range(0, rows, block * window):
        blocks = permuted[first : first + block * window] // block
        assert len(set(blocks.tolist())) <= window + 2


def test_epochs_may_be_mixed_in_one_call() -> None:
    order = BlockPermutation(1000, b"key", 7, 3)
    places, epochs = np.tile(np.arange(1000), 2), np.repeat([4, 9], 1000)
    permuted = order.forward(places, epochs)
    assert permuted[:1000].tolist() == order.forward(places[:1000], epochs[:1000]).tolist()
    assert np.array_equal(order.inverse(permuted, epochs), places)


def test_rows_and_blocks_are_shuffled_as_if_independent() -> None:
    order = BlockPermutation(64 * 200, b"key", 64, 50)
    first = np.array(order.forward(np.arange(order.size), np.zeros(order.size, np.int64)))
    second = order.forward(np.arange(order.size), np.ones(order.size, np.int64))
    within_window = first[: 64 * 50]
    for one, other in (
        (within_window // 64, within_window % 64),  # block and place in the block
        (within_window[:-1] // 64, within_window[1:] // 64),  # neighbours come from unrelated blocks
        (first // 64, np.arange(order.size) // (64 * 50)),  # windows hold blocks of everywhere
        (first, second),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.12


@given(WEIGHTS, st.integers(0, 2**36))
def test_mixture_position_inverts_locate(weights: list[float], start: int) -> None:
    mixture = Mixture.by_weights(weights)
    positions = np.arange(start, start + 50, dtype=np.int64)
    sources, draws = mixture.locate(positions)
    assert [mixture.position(*each) for each in zip(sources.tolist(), draws.tolist(), strict=True)] == list(
        range(start, start + 50)
    )


@given(WEIGHTS, st.integers(1, 2000))
def test_prefixes_hold_the_sources_in_proportion(weights: list[float], length: int) -> None:
    sources, draws = Mixture.by_weights(weights).locate(np.arange(length, dtype=np.int64))
    for source, weight in enumerate(weights):
        mine = draws[sources == source]
        assert mine.tolist() == list(range(len(mine)))
        assert abs(len(mine) - length * weight / sum(weights)) <= len(weights)


PHASES = st.integers(1, 4).flatmap(
    lambda number: st.lists(
        st.tuples(
            st.integers(0, 300),
            st.lists(st.one_of(st.just(0.0), st.floats(0.01, 100)), min_size=number, max_size=number).filter(
                any
            ),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda phase: phase[0],
    )
)


@given(PHASES)
def test_schedule_keeps_proportions_and_loses_no_draw(phases: list[tuple[int, list[float]]]) -> None:
    starts = [0, *sorted(start for start, _ in phases)[1:]]
    phases = [(start, weights) for start, (_, weights) in zip(starts, phases, strict=True)]
    schedule, number = Schedule(phases), len(phases[0][1])
    sources, draws = schedule.locate(np.arange(400, dtype=np.int64))
    for source in range(number):
        mine = np.flatnonzero(sources == source)
        assert draws[mine].tolist() == list(range(len(mine)))
        assert [schedule.position(source, draw) for draw in range(len(mine))] == mine.tolist()
        after = schedule.position(source, len(mine))
        assert after is None if not phases[-1][1][source] else after >= 400
    for (start, weights), end in zip(phases, [*starts[1:], 400], strict=True):
        counts = np.bincount(sources[start:end], minlength=number)
        expected = (end - start) * np.array(weights) / sum(weights)
        assert (abs(counts - expected) <= number).all() and not counts[np.array(weights) == 0].any()


def test_one_phase_is_the_mixture() -> None:
    positions, weights = np.arange(2**37, 2**37 + 500, dtype=np.int64), [3.0, 0.5, 1.0]
    for one, other in zip(
        Schedule([(0, weights)]).locate(positions), Mixture.by_weights(weights).locate(positions), strict=True
    ):
        assert np.array_equal(one, other)


def test_weights_change_from_a_position_on() -> None:
    rows = {"books": 5, "web": 50, "wiki": 20}
    stream = Stream("hash", 1, rows, {"web": 3, "wiki": 1}, [(40, {"books": 1, "wiki": 1})])
    plain = Stream("hash", 1, rows, {"web": 3, "wiki": 1})
    located, before = (
        stream.locate(np.arange(100, dtype=np.int64)),
        plain.locate(np.arange(40, dtype=np.int64)),
    )
    names = [stream.sources[source] for source in located.sources]
    assert names[:40] == [plain.sources[source] for source in before.sources]
    assert located.indices[:40].tolist() == before.indices.tolist()
    assert (names[:40].count("web"), names[40:].count("books"), names[40:].count("web")) == (30, 30, 0)
    by_name = list(zip(names, located.indices.tolist(), strict=True))
    for source, number in rows.items():
        for row in range(number):
            expected = [position for position, each in enumerate(by_name) if each == (source, row)]
            assert stream.positions(source, row, before=100) == expected


@given(ROWS, st.integers(0, 5), st.sampled_from([0, 3]))
def test_rows_do_not_repeat_within_an_epoch_and_their_positions_are_found(
    rows: dict[str, int], seed: int, block: int
) -> None:
    stream = Stream("hash", seed, rows, {}, block=block, window=2)
    located = stream.locate(np.arange(200, dtype=np.int64))
    rows_by_position = [
        (stream.sources[s], r)
        for s, r in zip(located.sources.tolist(), located.indices.tolist(), strict=True)
    ]
    for source, count in rows.items():
        mine = [row for name, row in rows_by_position if name == source]
        for first in range(0, len(mine) - count + 1, count):
            assert sorted(mine[first : first + count]) == list(range(count))
        for row in range(count):
            expected = [position for position, each in enumerate(rows_by_position) if each == (source, row)]
            assert stream.positions(source, row, before=200) == expected


def test_order_depends_on_dataset_and_seed_only() -> None:
    def first(manifest: str, seed: int) -> list[int]:
        return Stream(manifest, seed, {"a": 10**6}, {}).locate(np.arange(20, dtype=np.int64)).indices.tolist()

    assert first("x", 1) == first("x", 1)
    assert first("x", 1) != first("x", 2)
    assert first("x", 1) != first("y", 1)


def test_weights_apply_and_unweighted_sources_are_omitted() -> None:
    stream = Stream("hash", 1, {"a": 10, "b": 1000, "c": 5}, {"a": 3, "b": 1})
    sources = stream.locate(np.arange(4000, dtype=np.int64)).sources
    assert np.bincount(sources).tolist() == pytest.approx([3000, 1000], abs=1)
    assert stream.positions("c", 0, before=4000) == []


@pytest.mark.parametrize(
    "weights", [{"d": 1.0}, {"empty": 1.0}, {"a": 0.0}, {"a": -1.0}, {"a": float("nan")}]
)
def test_invalid_weights_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"^mixture\."):
        Stream("hash", 1, {"a": 3, "empty": 0}, weights)


def test_shards_without_training_rows_are_refused() -> None:
    with pytest.raises(InputError, match="no training rows"):
        Stream("hash", 1, {"a": 0}, {})


def test_cost_does_not_depend_on_the_position() -> None:
    stream = Stream("hash", 1, {"a": 10**10, "b": 3 * 10**9}, {})
    begun = time.perf_counter()
    stream.locate(np.arange(2**37, 2**37 + 4096, dtype=np.int64))
    assert time.perf_counter() - begun < 1


@pytest.mark.parametrize("length", [0, 1, 39, 40, 41, 70, 100, 1000])
def test_draws_are_the_rows_of_each_source_so_far(length: int) -> None:
    stream = Stream(
        "hash", 1, {"a": 50, "b": 30, "c": 10}, {"a": 2, "c": 1}, [(40, {"b": 1}), (70, {"a": 1})]
    )
    sources = stream.locate(np.arange(length)).sources
    assert stream.draws(length) == dict(zip("abc", np.bincount(sources, minlength=3).tolist(), strict=True))
