from itertools import islice
from typing import Any

import pytest
import torch

from core.errors import ModelError
from model.config import TransformerConfig
from model.generation import Sampler, Sampling, generate, sample_token
from model.transformer import Transformer

PROMPT = [1, 2, 3]


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        TransformerConfig(
            40, num_layers=2, hidden_size=16, num_heads=2, num_kv_heads=1, intermediate_size=32, tied=False
        )
    ).eval()


def test_temperature_zero_is_greedy(model: Transformer) -> None:
    expected = list(PROMPT)
    with torch.no_grad():
        for _ in range(8):
            expected.append(int(model(torch.tensor([expected]))[0, -1].argmax()))
    assert list(generate(model, PROMPT, 8, Sampling(temperature=0))) == expected[3:]


def test_equal_seeds_give_equal_tokens(model: Transformer) -> None:
    runs = [list(generate(model, PROMPT, 12, Sampling(seed=seed))) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_tokens_are_streamed_up_to_a_stop_token(model: Transformer) -> None:
    whole = list(generate(model, PROMPT, 10, Sampling(seed=3)))
    assert list(islice(generate(model, PROMPT, 10**4, Sampling(seed=3)), 10)) == whole
    last = next(index for index in range(1, 10) if whole[index] not in whole[:index])
    assert list(generate(model, PROMPT, 10, Sampling(seed=3), frozenset({whole[last]}))) == whole[:last]


def test_only_tokens_that_pass_the_filters_are_sampled() -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    generator = torch.Generator().manual_seed(0)

    def drawn(sampling: Sampling) -> set[int]:
        return {sample_token(logits, sampling, generator) for _ in range(200)}

    assert drawn(Sampling()) == {0, 1, 2, 3}
    assert drawn(Sampling(top_k=2)) == {1, 3}
    assert drawn(Sampling(top_p=0.65)) == {1, 3}
    assert drawn(Sampling(top_p=0.75)) == {1, 2, 3}
    assert drawn(Sampling(top_p=0.01)) == drawn(Sampling(temperature=0)) == drawn(Sampling(top_k=1)) == {1}
    assert drawn(Sampling(temperature=0.01)) == {1}


def test_sample_frequencies_match_probabilities() -> None:
    chances = torch.tensor([0.1, 0.4, 0.2, 0.3])
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[sample_token(chances.log(), Sampling(), generator)] += 1
    torch.testing.assert_close(counts / 4000, chances, atol=0.03, rtol=0)


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-45, 1e-40, 1e-30, 1e-6])
@pytest.mark.parametrize("filters", [{}, {"top_k": 2}, {"top_p": 0.9}, {"top_p": 0.0}, {"top_p": 5e-324}])
@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_tiny_temperatures_are_greedy(temperature: float, filters: dict[str, float], scale: float) -> None:
    logits = scale * torch.tensor([0.1, 0.4, 0.2, 0.3])
    sampling = Sampling(temperature, **filters)  # type: ignore[arg-type]
    assert sample_token(logits, sampling, torch.Generator().manual_seed(0)) == 1


@pytest.mark.parametrize("top_p", [0.0, 5e-324, 1e-300, 1e-10])
def test_the_most_likely_token_passes_every_top_p(top_p: float) -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3]).log()
    assert sample_token(logits, Sampling(top_p=top_p), torch.Generator().manual_seed(0)) == 1


@pytest.mark.parametrize("seed", [-1, -(2**63) - 1, 2**63, 2**64 + 5, 10**40])
def test_seeds_of_any_size_determine_the_tokens(model: Transformer, seed: int) -> None:
    first, second = (list(generate(model, PROMPT, 8, Sampling(seed=seed))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("sampling", [Sampling(0), Sampling(), Sampling(top_k=2), Sampling(top_p=0.5)])
def test_logits_that_are_not_finite_are_an_error(value: float, sampling: Sampling) -> None:
    with pytest.raises(ModelError, match="not finite"):
        sample_token(torch.tensor([0.0, value, 1.0]), sampling, torch.Generator())


def test_excluded_tokens_may_have_a_logit_of_minus_infinity() -> None:
    logits = torch.tensor([-torch.inf, 1.0, -torch.inf])
    assert {sample_token(logits, Sampling(2.0), torch.Generator()) for _ in range(9)} == {1}


def test_penalties_and_bias_change_the_logits() -> None:
    logits = torch.tensor([3.0, 2.5, 0.0])

    def drawn(**changes: Any) -> list[int]:
        sampler = Sampler(Sampling(0, **changes))
        return [sampler.sample(logits) for _ in range(4)]

    assert drawn() == [0, 0, 0, 0]
    assert drawn(presence_penalty=1.0) == [0, 1, 0, 0]
    assert drawn(frequency_penalty=0.4) == [0, 0, 1, 0]
    assert drawn(frequency_penalty=-2.0, logit_bias={1: 1.0}) == [1, 1, 1, 1]
    assert drawn(logit_bias={0: -100.0, 1: -100.0}) == [2, 2, 2, 2]
