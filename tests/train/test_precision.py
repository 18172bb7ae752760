"""Options of computation that must not change what is learned."""

import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.distributed.tensor import DTensor

from model.config import TransformerConfig
from tests.train.folder import Folder
from train.loop import train
from train.parallel import (
    World,
    build_sharded_model,
    initialize,
    reduce_after_backward,
    seeded_initial_weight,
)

# With tied embeddings, bfloat16 rounds the sum of both uses only if gradients are reduced each time.
SHAPE = TransformerConfig(
    40, num_layers=2, hidden_size=16, num_heads=2, num_kv_heads=1, intermediate_size=32, tied=False
)


def test_bfloat16_and_activation_checkpointing_learn_the_same(
    packed: Path, tmp_path: Path, world: World
) -> None:
    reduced = Folder(tmp_path / "reduced", packed)
    options = ("train.precision='bfloat16'", "train.activation_checkpointing='selective'")
    train(reduced.config("train.steps=6", *options), world)
    plain = Folder(tmp_path / "plain", packed)
    train(plain.config("train.steps=6"), world)
    for low, full in zip(reduced.metrics("train/loss"), plain.metrics("train/loss"), strict=True):
        assert low["train/loss"] == pytest.approx(full["train/loss"], rel=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gradients_reduced_once_equal_those_reduced_after_each_micro_batch(
    precision: Literal["float32", "bfloat16"], world: World
) -> None:
    found = []
    for once in (True, False):
        model = build_sharded_model(SHAPE, world, precision)
        initialize(model, seeded_initial_weight(SHAPE, 1))
        for step in range(2):  # the second one with weights that were gathered before
            model.zero_grad()
            for last in (False, False, True):
                reduce_after_backward(model, is_last=last or not once)
                tokens = torch.arange(20).view(2, 10) + step
                model.losses(tokens, tokens.roll(-1, 1)).total.backward()
            with torch.no_grad():
                for weight in model.parameters():
                    assert weight.grad is not None
                    weight -= 0.1 * weight.grad
        found.append([weight.full_tensor() for weight in model.parameters() if isinstance(weight, DTensor)])
    assert len(found[0]) == len(list(model.parameters()))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.skipif(not shutil.which("c++"), reason="torch.compile needs a C++ compiler on CPUs")
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch.compile reads it
def test_compiled_blocks_learn_the_same(packed: Path, tmp_path: Path, world: World) -> None:
    compiled = Folder(tmp_path, packed)
    train(
        compiled.config("train.steps=6", "train.compile=true", "model.num_layers=1"),
        world,
    )
    plain = Folder(tmp_path / "plain", packed)
    train(plain.config("train.steps=6", "model.num_layers=1"), world)
    for one, other in zip(compiled.metrics("train/loss"), plain.metrics("train/loss"), strict=True):
        assert one["train/loss"] == pytest.approx(other["train/loss"], rel=1e-4)
