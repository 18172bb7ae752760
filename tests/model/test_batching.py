"""Continuous batching gives each request the tokens that it would get alone."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ModelError
from model import batching, kv_cache
from model.batching import Batcher
from model.config import TransformerConfig
from model.fused import fuse
from model.generation import Sampling, generate
from model.transformer import Transformer

CAPACITY = 48
NEVER: frozenset[int] = frozenset()


def make(**shape: object) -> Transformer:
    torch.manual_seed(0)
    usual = {
        "vocabulary_size": 60,
        "num_layers": 2,
        "hidden_size": 32,
        "num_heads": 4,
        "num_kv_heads": 2,
        "intermediate_size": 48,
    }
    model = Transformer(TransformerConfig(**{**usual, **shape})).eval()  # type: ignore[arg-type]
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model


MODELS = (
    make(),
    make(
        norm="layer", positions="learned", activation="gelu", context=CAPACITY, qkv_bias=True, num_kv_heads=4
    ),
)

requests = st.builds(
    lambda prompt, limit, temperature, top_k, seed: (prompt, limit, Sampling(temperature, top_k, 0.9, seed)),
    st.lists(st.integers(0, 59), min_size=1, max_size=24),
    st.integers(1, 24),
    st.sampled_from([0.0, 0.0, 1.0]),
    st.sampled_from([0, 5]),
    st.integers(0, 3),
)


def drain(batcher: Batcher, into: dict[int, list[int]]) -> None:
    for drawn in batcher.step():
        if drawn.finish_reason != "stop":
            into.setdefault(drawn.request_id, []).append(drawn.token)


@given(
    st.lists(st.tuples(requests, st.integers(0, 5)), min_size=1, max_size=7),
    st.integers(0, 1),
    st.sampled_from([3, 512]),
    st.sets(st.integers(0, 6), max_size=2),
)
@settings(deadline=None, max_examples=60)
def test_requests_get_the_same_tokens_in_a_batch_as_alone(
    arrivals: list[tuple[tuple[list[int], int, Sampling], int]], which: int, chunk: int, cancelled: set[int]
) -> None:
    model, stop = MODELS[which], frozenset({7, 8})
    expected, drawn, cut = {}, dict[int, list[int]](), set[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "PREFILL_CHUNK", chunk)
        patch.setattr(batching, "MAX_PREFILL_RUN", 2 * chunk)
        batcher = Batcher(model, 4, CAPACITY)
        for index, ((prompt, limit, sampling), steps) in enumerate(arrivals):
            while not batcher.num_free:
                drain(batcher, drawn)
            number = batcher.add(prompt, limit, sampling, stop)
            expected[number] = list(generate(model, prompt, limit, sampling, stop))
            for _ in range(steps):
                drain(batcher, drawn)
            if index in cancelled:
                batcher.cancel(number)
                cut.add(number)
        while batcher.num_running:
            drain(batcher, drawn)
    for number, tokens in expected.items():
        sampled = drawn.get(number, [])
        assert sampled == (tokens[: len(sampled)] if number in cut else tokens)
    assert batcher.num_free == 4


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 12), (3, 5), (40, 1)])
def test_fused_model_computes_the_same(which: int, rows: int, length: int) -> None:
    plain, fused = MODELS[which], fuse(deepcopy(MODELS[which]))
    tokens = torch.randint(0, 60, (rows, length))
    with torch.no_grad():
        torch.testing.assert_close(fused(tokens), plain(tokens), atol=1e-4, rtol=1e-4)
    prompt = [1, 2, 3]
    assert list(generate(fused, prompt, 8, Sampling(0))) == list(generate(plain, prompt, 8, Sampling(0)))


def test_cache_grows_up_to_its_capacity() -> None:
    model = make()
    batcher, drawn = Batcher(model, 2, 600), dict[int, list[int]]()
    prompt = torch.randint(0, 60, (500,)).tolist()
    long = batcher.add(prompt, 100, Sampling(0), NEVER)
    batcher.add(prompt[:5], 3, Sampling(0), NEVER)
    while batcher.num_running:
        drain(batcher, drawn)
    assert drawn[long] == list(generate(model, prompt, 100, Sampling(0)))


def test_long_prompts_do_not_delay_other_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PREFILL_CHUNK", 4)
    monkeypatch.setattr(batching, "MAX_PREFILL_RUN", 8)
    batcher = Batcher(make(), 2, CAPACITY)
    first = batcher.add([1], 20, Sampling(0), NEVER)
    assert [drawn.request_id for drawn in batcher.step()] == [first]
    second = batcher.add([2] * 12, 4, Sampling(0), NEVER)
    assert [[drawn.request_id for drawn in batcher.step()] for _ in range(7)] == [
        [],
        [],
        [first],
        [second],
        [first, second],
        [first, second],
        [first, second],
    ]


def test_cancelled_requests_free_their_slots() -> None:
    batcher = Batcher(make(), 2, CAPACITY)
    first = batcher.add([1, 2], 9, Sampling(0), NEVER)
    batcher.step()
    batcher.add([3], 9, Sampling(0), NEVER)
    with pytest.raises(ModelError, match="all 2 slots are taken; wait"):
        batcher.add([4], 9, Sampling(0), NEVER)
    batcher.cancel(first)
    batcher.cancel(first)
    third = batcher.add([4], 1, Sampling(0), NEVER)
    while batcher.num_running:
        assert first not in {drawn.request_id for drawn in batcher.step()}
    assert third == 3
    assert batcher.num_free == 2


def test_requests_can_be_cancelled_after_the_cache_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_cache, "INITIAL_CAPACITY", 4)
    batcher = Batcher(MODELS[0], 2, CAPACITY)
    sampling = Sampling(temperature=0)
    first, second = (batcher.add([1, 2, 3], 8, sampling, NEVER) for _ in range(2))
    sampled: dict[int, list[int]] = {}
    for _ in range(5):
        drain(batcher, sampled)
    batcher.cancel(first)
    while batcher.num_running:
        drain(batcher, sampled)
    assert sampled[second] == list(generate(MODELS[0], [1, 2, 3], 8, sampling))


@pytest.mark.parametrize(("prompt", "limit"), [([], 1), ([1], 0), ([1] * 40, 9)])
def test_requests_beyond_capacity_are_refused(prompt: list[int], limit: int) -> None:
    with pytest.raises(ModelError, match=f"{len(prompt)} prompt tokens and {limit} to generate"):
        Batcher(make(), 1, CAPACITY).add(prompt, limit, Sampling(), NEVER)
