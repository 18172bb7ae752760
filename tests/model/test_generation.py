from itertools import islice

import pytest
import torch

from model.config import TransformerConfig
from model.generation import Sampling, generate, sample_token
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
