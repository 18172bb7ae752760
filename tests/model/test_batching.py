"""Continuous batching gives each request the tokens that it would get alone."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ModelError
from model import batching, kv_cache
from model.batching import Batcher, Logprobs, SampledToken
from model.config import TransformerConfig
from model.fused import fuse
from model.generation import Sampler, Sampling, generate
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
    make(num_layers=3, qk_norm=True, sliding_window=5, global_layers=(1,), nope_layers=(2,)),
    make(
        sliding_window=4,
        attention_softcap=2.0,
        logit_softcap=3.0,
        activation="geglu",
        zero_centered_norm=True,
        post_norms=True,
        embedding_scale=4.0,
        query_scalar=10.0,
    ),
)

requests = st.builds(
    lambda prompt, limit, temperature, top_k, seed, penalty: (
        prompt,
        limit,
        Sampling(temperature, top_k, 0.9, seed, penalty, -penalty / 2, {5: 10 * penalty}),
    ),
    st.lists(st.integers(0, 59), min_size=1, max_size=24),
    st.integers(1, 24),
    st.sampled_from([0.0, 0.0, 1.0]),
    st.sampled_from([0, 5]),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.0, 2.0]),
)


def drain(batcher: Batcher, into: dict[int, list[int]]) -> None:
    for drawn in batcher.step():
        if drawn.finish_reason != "stop":
            into.setdefault(drawn.request_id, []).append(drawn.token)


@given(
    st.lists(st.tuples(requests, st.integers(0, 5)), min_size=1, max_size=7),
    st.integers(0, len(MODELS) - 1),
    st.sampled_from([3, 512]),
    st.sets(st.integers(0, 6), max_size=2),
)
@settings(max_examples=60)
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


@pytest.mark.parametrize("which", range(len(MODELS)))
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


BAD = 0
"""A token whose embedding is not finite in :data:`DAMAGED`; all requests stop at it."""
DAMAGED = make(tied=False)
with torch.no_grad():
    DAMAGED.embedding.weight[BAD] = torch.nan

extreme = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 5e-324, 1e-40, 1e-30, 1e-5, 2.0, 1e308]),
    top_k=st.sampled_from([0, 1, 10**18, 2**80]),
    top_p=st.sampled_from([0.0, 5e-324, 1e-300, 0.5, 1.0]),
    seed=st.sampled_from([0, -1, -(2**63), 2**63, 2**64 + 1, -(10**40)]),
    presence_penalty=st.sampled_from([0.0, -2.0, 2.0, 1e30]),
    frequency_penalty=st.sampled_from([0.0, -2.0, 2.0, -1e30]),
    logit_bias=st.dictionaries(st.integers(0, 59), st.sampled_from([-100.0, 100.0, 1e38, -1e38]), max_size=3),
)


@given(
    st.lists(
        st.tuples(extreme, st.lists(st.integers(1, 59), min_size=1, max_size=9), st.integers(0, 4)),
        max_size=5,
    ),
    st.sampled_from([3, 512]),
)
@settings(max_examples=30)
def test_no_request_changes_the_tokens_of_another(
    hostile: list[tuple[Sampling, list[int], int]], chunk: int
) -> None:
    prompt, sampling, stop = [3, 1, 2, 4], Sampling(1.0, seed=4), frozenset({BAD})
    expected = list(generate(DAMAGED, prompt, 30, sampling, stop))
    results: list[SampledToken] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "PREFILL_CHUNK", chunk)
        batcher = Batcher(DAMAGED, 4, CAPACITY)
        innocent = batcher.add(prompt, 30, sampling, stop)
        failing = set()
        for parameters, tokens, steps in hostile:
            while batcher.num_free < 2:
                results += batcher.step()
            failing.add(batcher.add([*tokens, BAD, *tokens], 20, parameters, stop, Logprobs(2, prompt=True)))
            cancelled = batcher.add(tokens, 10, parameters, stop, Logprobs(60))
            for _ in range(steps):
                results += batcher.step()
            batcher.cancel(cancelled)
        while batcher.num_running:
            results += batcher.step()
    assert [
        each.token for each in results if each.request_id == innocent and each.finish_reason != "stop"
    ] == expected
    errors = {each.request_id for each in results if each.finish_reason == "error"}
    assert errors == failing
    assert all(
        str(each.error).startswith("the model's output is not finite") for each in results if each.error
    )
    assert batcher.num_free == 4


def test_padding_of_a_prompt_depends_on_the_prompt_alone() -> None:
    stop, sampling = frozenset({BAD}), Sampling(0)
    batcher, drawn = Batcher(DAMAGED, 2, CAPACITY), dict[int, list[int]]()
    short, long = (
        batcher.add([3, 1], 9, sampling, stop),
        batcher.add([1, 2, 3, 4, 5, 6, 7, 8], 9, sampling, stop),
    )
    while batcher.num_running:
        drain(batcher, drawn)
    assert drawn[short] == list(generate(DAMAGED, [3, 1], 9, sampling, stop))
    assert drawn[long] == list(generate(DAMAGED, [1, 2, 3, 4, 5, 6, 7, 8], 9, sampling, stop))


def test_a_slot_is_clean_after_a_request_that_failed() -> None:
    batcher = Batcher(DAMAGED, 1, CAPACITY)
    batcher.add([1, BAD, 2, 3, 4, 5], 4, Sampling(0), NEVER)
    (failed,) = batcher.step()
    assert failed.finish_reason == "error"
    drawn = dict[int, list[int]]()
    second = batcher.add([3, 2], 9, Sampling(0), frozenset({BAD}))
    while batcher.num_running:
        drain(batcher, drawn)
    assert drawn[second] == list(generate(DAMAGED, [3, 2], 9, Sampling(0), frozenset({BAD})))


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_request_whose_forward_pass_or_sampling_raises_ends_alone(
    monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Step 0: in the prompt; 1: in a later token's forward pass; 2: in sampling."""
    forward, sample = Transformer.hidden_states, Sampler.sample

    def failing_forward(self: Transformer, tokens: torch.Tensor, **options: object) -> torch.Tensor:
        if step < 2 and (tokens == 50).any() and tokens.shape[1] == (1 if step else tokens.shape[1]):
            raise RuntimeError("broken")
        return forward(self, tokens, **options)  # type: ignore[arg-type]

    def failing_sample(self: Sampler, logits: torch.Tensor) -> int:
        if step == 2 and self.sampling.seed == 50:
            raise RuntimeError("broken")
        return sample(self, logits)

    batcher, results = Batcher(MODELS[0], 4, CAPACITY), list[SampledToken]()
    forced = Sampling(1.0, seed=50, logit_bias={50: 1e6})  # generates token 50 only
    prompt = [50, 1] if step == 0 else [1, 2]
    monkeypatch.setattr(Transformer, "hidden_states", failing_forward)
    monkeypatch.setattr(Sampler, "sample", failing_sample)
    others = [batcher.add([2, 3, 4][: 1 + index], 12, Sampling(1.0, seed=index), NEVER) for index in (0, 1)]
    broken = batcher.add(prompt, 12, forced, NEVER)
    while batcher.num_running:
        results += batcher.step()
    monkeypatch.undo()
    for index, number in enumerate(others):
        tokens = [each.token for each in results if each.request_id == number]
        assert tokens == list(generate(MODELS[0], [2, 3, 4][: 1 + index], 12, Sampling(1.0, seed=index)))
    last = [each for each in results if each.request_id == broken][-1]
    assert (last.finish_reason, str(last.error)) == ("error", "broken")


@given(st.lists(st.integers(0, 59), min_size=1, max_size=20), st.integers(0, 5), st.sampled_from([3, 512]))
@settings(max_examples=20)
def test_logprobs_are_those_of_a_forward_pass(prompt: list[int], top: int, chunk: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "PREFILL_CHUNK", chunk)
        batcher, results = Batcher(MODELS[0], 2, CAPACITY), list[SampledToken]()
        batcher.add([1, 2, 3], 5, Sampling(0), NEVER)
        number = batcher.add(prompt, 4, Sampling(0.9, 5, seed=2), NEVER, Logprobs(top, prompt=True))
        while batcher.num_running:
            results += [each for each in batcher.step() if each.request_id == number]
    tokens = [*prompt, *(each.token for each in results)]
    found = [*results[0].prompt_logprobs, *(each.logprobs for each in results if each.logprobs)]
    assert [each.token for each in found] == tokens[1:]
    with torch.no_grad():
        expected = MODELS[0](torch.tensor([tokens[:-1]]))[0].log_softmax(dim=1)
    for each, row in zip(found, expected, strict=True):
        assert each.logprob == pytest.approx(float(row[each.token]), abs=1e-4)
        assert [value for _, value in each.top] == pytest.approx(row.topk(top).values.tolist(), abs=1e-4)


@pytest.mark.parametrize(("prompt", "bias"), [([60], {}), ([-1], {}), ([1], {60: 1.0}), ([2**70], {})])
def test_tokens_that_the_model_lacks_are_refused(prompt: list[int], bias: dict[int, float]) -> None:
    with pytest.raises(ModelError, match="must be from 0 to 59"):
        Batcher(make(), 1, CAPACITY).add(prompt, 1, Sampling(logit_bias=bias), NEVER)
