import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.config import TransformerConfig
from model.transformer import Transformer
from train.data.batch import IGNORE_INDEX, Batch
from train.losses import LossSums, from_table, metrics, row_sums, sum_by_source, total

SUMS = st.builds(
    LossSums, st.floats(0, 1e6), st.integers(1, 1000).map(float), st.integers(1, 9999).map(float)
)


@torch.no_grad()
def test_losses_are_those_of_the_next_tokens_of_a_document() -> None:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(11, 1, 8, 2, 2, 16))
    tokens = torch.randint(11, (2, 6))
    documents = torch.tensor([[0, 0, 0, 1, 1, -1], [0, 0, 0, 0, 0, 0]])
    batch = Batch(tokens, documents)
    targets = batch.targets
    losses = model.losses(batch.inputs, targets, batch.document_ids).nats
    chances = model(tokens[:, :-1], documents[:, :-1].int()).log_softmax(dim=-1)
    for row in range(2):
        for column in range(5):
            is_target = documents[row, column] == documents[row, column + 1] >= 0
            expected = -chances[row, column, tokens[row, column + 1]] if is_target else 0.0
            assert losses[row, column] == pytest.approx(float(expected), abs=1e-5)

    lengths = torch.arange(11) * 10
    sums = row_sums(losses, targets, lengths)
    for row in range(2):
        learned = targets[row][targets[row] != IGNORE_INDEX]
        assert sums[row].tolist() == pytest.approx(
            [float(losses[row].sum()), len(learned), float(lengths[learned].sum())]
        )


@given(st.lists(st.tuples(st.integers(0, 3), SUMS), min_size=1))
def test_sums_by_source_add_up(rows: list[tuple[int, LossSums]]) -> None:
    table = torch.tensor([[each.nats, each.targets, each.bytes] for _, each in rows], dtype=torch.float64)
    numbers = torch.tensor([source for source, _ in rows])
    sums = from_table("abcd", sum_by_source(table, numbers, 4).ravel().tolist())
    for number, source in enumerate("abcd"):
        expected = sum((each for of, each in rows if of == number), LossSums())
        assert sums[source].targets == expected.targets
        assert sums[source].nats == pytest.approx(expected.nats)
    assert total(sums).bytes == sum(each.bytes for _, each in rows)


def test_metrics_by_source() -> None:
    sums = {"books": LossSums(6.0, 3.0, 12.0), "news": LossSums(), "web": LossSums(2.0, 1.0, 4.0)}
    found = metrics("train", sums)
    assert set(found) == {
        f"train/{name}{of}" for name in ("loss", "perplexity", "bpb") for of in ("", "/books", "/web")
    }
    assert found["train/loss"] == 2.0
    assert found["train/perplexity/books"] == pytest.approx(math.exp(2))
    assert found["train/bpb/web"] == pytest.approx(0.5 / math.log(2))
    assert math.isfinite(LossSums(1e9, 1.0, 1.0).perplexity)
