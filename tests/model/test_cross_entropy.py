"""Cross-entropy in chunks, beside PyTorch's on all logits."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from model import cross_entropy
from model.config import TransformerConfig
from model.cross_entropy import chunked_cross_entropy
from model.transformer import Transformer


def soft_capped(hidden_states: Tensor, weight: Tensor) -> Tensor:
    return 5.0 * torch.tanh(F.linear(hidden_states, weight) / 5.0)


@given(
    number=st.integers(1, 40),
    ignored=st.floats(0, 1),
    chunk=st.integers(1, 50),
    z_loss=st.sampled_from([0.0, 0.01]),
    project=st.sampled_from([F.linear, soft_capped]),
)
def test_losses_and_gradients_are_those_of_all_logits(
    number: int, ignored: float, chunk: int, z_loss: float, project: cross_entropy.Projection
) -> None:
    generator = torch.Generator().manual_seed(number)
    states, weight = (torch.randn(size, 8, generator=generator, dtype=torch.float64) for size in (number, 11))
    targets = torch.randint(11, (number,), generator=generator)
    targets[torch.rand(number, generator=generator) < ignored] = -100
    states.requires_grad_()
    weight.requires_grad_()
    logits = project(states, weight)
    nats = F.cross_entropy(logits.float(), targets, reduction="none")
    squares = logits.float().logsumexp(dim=1)[targets >= 0].square()
    expected = torch.autograd.grad(3 * (nats.sum() + z_loss * squares.sum()), (states, weight))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cross_entropy, "CHUNK_TOKENS", chunk)
        losses = chunked_cross_entropy(states, weight, targets, project, z_loss)
        found = torch.autograd.grad(3 * losses.total, (states, weight))
    torch.testing.assert_close(losses.nats, nats)
    torch.testing.assert_close(losses.total, nats.sum() + z_loss * squares.sum())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)  # losses are float32


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("frozen", ["", "blocks", "embedding", "output"])
def test_gradients_of_a_model(tied: bool, frozen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As through all logits, also where weights do not learn."""
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(19, 1, 8, 2, 2, 16, tied=tied))
    learned = {}
    for name, weight in model.named_parameters():
        weight.requires_grad_(not frozen or not name.startswith(frozen))
        if weight.requires_grad:
            learned[name] = weight
    tokens, targets = torch.randint(19, (2, 2, 6))
    nats = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="sum")
    expected = torch.autograd.grad(nats, learned.values())
    monkeypatch.setattr(cross_entropy, "CHUNK_TOKENS", 3)
    found = torch.autograd.grad(model.losses(tokens, targets).total, learned.values())
    for name, one, other in zip(learned, found, expected, strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_gradients_of_bfloat16_weights_are_summed_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks do not add rounding errors to one."""
    torch.manual_seed(0)
    states, weight = torch.randn(512, 16).bfloat16(), torch.randn(32, 16).bfloat16().requires_grad_()
    targets = torch.randint(32, (512,))
    gradients = []
    for chunk in (1, 512):
        monkeypatch.setattr(cross_entropy, "CHUNK_TOKENS", chunk)
        losses = chunked_cross_entropy(states, weight, targets)
        gradients += torch.autograd.grad(losses.total, weight)
    exact = torch.autograd.grad(
        F.cross_entropy(F.linear(states.double(), weight.double()), targets, reduction="sum"), weight
    )[0].double()
    errors = [float((gradient.double() - exact).norm() / exact.norm()) for gradient in gradients]
    assert gradients[0].dtype == torch.bfloat16
    assert errors[0] < 2 * errors[1] < 0.02


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_validation_computes_no_gradients(mode: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "backward", None)
    weight = torch.randn(5, 4, requires_grad=True)
    with mode():
        losses = chunked_cross_entropy(torch.randn(3, 4), weight, torch.tensor([1, -100, 2]))
    assert not losses.total.requires_grad
    assert losses.nats[1] == 0 < losses.nats[0]
