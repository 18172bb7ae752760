import pytest
import torch
from pydantic import ValidationError
from torch import nn

from core.config import TrainConfig
from model.config import TransformerConfig
from model.transformer import Transformer
from train.muon import orthogonalize
from train.optim import build_optimizer, gradient_norm, learning_rate, optimizer_step, warmup_steps

TRAIN = TrainConfig(steps=100, warmup_steps=10, learning_rate=1.0, min_lr_ratio=0.2, clip_norm=0.5)


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(TRAIN, step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([step / 10 for step in range(1, 11)])
    assert rates[54] == pytest.approx(0.6)
    assert rates[99] == pytest.approx(0.2)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert learning_rate(TrainConfig(steps=5, warmup_steps=0), 5) == pytest.approx(3e-5)


def test_schedules_after_the_warm_up() -> None:
    def rates(schedule: str, **settings: float) -> list[float]:
        made = TRAIN.model_copy(update={"schedule": schedule, **settings})
        return [learning_rate(made, step) for step in range(11, 101)]

    assert rates("constant") == [1.0] * 90
    line = rates("linear")
    assert line[0] == pytest.approx(1 - 0.8 / 90)
    assert line[44] == pytest.approx(0.6)
    assert line[-1] == pytest.approx(0.2)
    stable = rates("wsd", decay_share=0.25)
    assert stable[:65] == [1.0] * 65
    assert stable[65:] == pytest.approx([1 - 0.8 * step / 25 for step in range(1, 26)])
    # All steps after the warm-up decay.
    assert rates("wsd", decay_share=1.0) == pytest.approx(line)


@pytest.mark.parametrize(("steps", "expected"), [(5, 0), (20, 2), (1000, 100), (50_000, 100)])
def test_default_warm_up_is_a_tenth_of_the_steps(steps: int, expected: int) -> None:
    assert warmup_steps(TrainConfig(steps=steps)) == expected
    assert learning_rate(TrainConfig(steps=steps), max(expected, 1)) <= 3e-4


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"warmup_steps = 11: longer than the run of 10 steps"):
        TrainConfig(steps=10, warmup_steps=11)


def test_weight_decay_applies_to_matrices_only() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.RMSNorm(4))
    decayed, not_decayed = build_optimizer(model, TRAIN).param_groups
    assert decayed["params"] == [model[0].weight]
    assert decayed["weight_decay"] == TRAIN.weight_decay
    assert not_decayed["params"] == [model[1].weight]
    assert not_decayed["weight_decay"] == 0


def test_muon_updates_the_matrices_of_the_blocks() -> None:
    shape = TransformerConfig(40, 1, 16, 2, 1, 32, tied=False).as_gpt2(8)
    model = Transformer(shape)
    names = {parameter: name for name, parameter in model.named_parameters()}
    model.blocks[0].attention.query.weight.requires_grad_(False)
    optimizer = build_optimizer(model, TRAIN.model_copy(update={"optimizer": "muon"}))
    hidden, matrices, vectors = (
        [names[each] for each in group["params"]] for group in optimizer.param_groups
    )
    layers = ("attention.key", "attention.value", "attention.output", "feed_forward.up", "feed_forward.down")
    assert hidden == [f"blocks.0.{layer}.weight" for layer in layers]
    assert matrices == ["embedding.weight", "positions.weight", "output.weight"]
    assert all(name.endswith((".bias", "norm.weight")) for name in vectors)
    assert len(hidden) + len(matrices) + len(vectors) == len(names) - 1


def test_muon_makes_singular_values_equal() -> None:
    generator = torch.Generator().manual_seed(1)
    for shape in ((24, 48), (48, 24), (32, 32)):
        matrix = torch.randn(shape, generator=generator)
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        found = left.mT @ orthogonalize(matrix) @ right.mT
        values = found.diagonal()
        assert 0.3 < float(values.min()) <= float(values.max()) < 1.3
        torch.testing.assert_close(found, values.diag(), atol=1e-3, rtol=0)
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_muon_takes_the_steps_of_torch() -> None:
    """torch.optim.Muon, whose updates are computed in bfloat16, and AdamW for the vectors."""
    config = TRAIN.model_copy(update={"optimizer": "muon", "learning_rate": 0.02, "clip_norm": 1e9})
    generator = torch.Generator().manual_seed(1)
    start = torch.arange(24.0).view(4, 6)
    made = [nn.ParameterDict() for _ in range(2)]
    for model in made:
        model["blocks"] = nn.ParameterDict({"matrix": start.sin().clone(), "bias": torch.ones(6)})
    ours, theirs = (dict(model.named_parameters()) for model in made)
    optimizer = build_optimizer(made[0], config)
    matrix, bias = theirs["blocks.matrix"], theirs["blocks.bias"]
    betas = (config.beta1, config.beta2)
    peers = [
        torch.optim.Muon(
            [matrix], weight_decay=config.weight_decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW([bias], betas=betas, weight_decay=0.0, fused=True),
    ]
    for step in range(1, 6):
        for name, parameter in ours.items():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
            theirs[name].grad = parameter.grad.clone()
        optimizer_step(optimizer, config, step, gradient_norm(optimizer))
        for peer in peers:
            peer.param_groups[0]["lr"] = learning_rate(config, step)
            peer.step()
    assert not torch.allclose(ours["blocks.matrix"], start.sin(), atol=0.005)
    torch.testing.assert_close(ours["blocks.matrix"], matrix, atol=1e-3, rtol=0)
    torch.testing.assert_close(ours["blocks.bias"], bias, atol=0, rtol=0)


def test_gradients_are_clipped() -> None:
    layer = nn.Linear(3, 3, bias=False)
    optimizer = build_optimizer(layer, TRAIN)
    layer.weight.grad = torch.full((3, 3), 2.0)
    taken = []
    optimizer.register_step_pre_hook(lambda *_: taken.append(layer.weight.grad.norm()))
    norm = gradient_norm(optimizer)
    assert float(norm) == pytest.approx(6.0)
    optimizer_step(optimizer, TRAIN, 10, norm)
    assert taken[0] == pytest.approx(0.5, rel=1e-4)
    assert layer.weight.grad is None
