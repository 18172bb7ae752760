import pytest
import torch
from pydantic import ValidationError
from torch import nn

from core.config import TrainConfig
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
    decayed, not_decayed = build_optimizer(model.parameters(), TRAIN).param_groups
    assert decayed["params"] == [model[0].weight]
    assert decayed["weight_decay"] == TRAIN.weight_decay
    assert not_decayed["params"] == [model[1].weight]
    assert not_decayed["weight_decay"] == 0


def test_gradients_are_clipped() -> None:
    layer = nn.Linear(3, 3, bias=False)
    optimizer = build_optimizer(layer.parameters(), TRAIN)
    layer.weight.grad = torch.full((3, 3), 2.0)
    taken = []
    optimizer.register_step_pre_hook(lambda *_: taken.append(layer.weight.grad.norm()))
    norm = gradient_norm(optimizer)
    assert float(norm) == pytest.approx(6.0)
    optimizer_step(optimizer, TRAIN, 10, norm)
    assert taken[0] == pytest.approx(0.5, rel=1e-4)
    assert layer.weight.grad is None
