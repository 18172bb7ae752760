from pathlib import Path

import pytest
import torch

from core import storage
from core.config import TrainConfig
from core.errors import ManifestError
from model.config import TransformerConfig
from model.formats.checkpoint import find_latest, load_weights
from model.transformer import Transformer
from train import checkpoint
from train.optim import build_optimizer, gradient_norm, optimizer_step
from train.parallel import World, build_sharded_model, initialize, seeded_initial_weight

SHAPE = TransformerConfig(40, num_layers=1, hidden_size=16, num_heads=2, num_kv_heads=1, intermediate_size=32)
ADAMW = TrainConfig()
PINS = {"tokenizer_sha256": "0" * 64}


def trained(world: World, steps: int, config: TrainConfig = ADAMW) -> tuple[Transformer, torch.optim.AdamW]:
    """Return a model and its optimizer after ``steps`` steps on one sequence."""
    model = build_sharded_model(SHAPE, world, "float32")
    initialize(model, seeded_initial_weight(SHAPE, 1))
    optimizer = build_optimizer(model, config)
    for step in range(1, steps + 1):
        take_step(model, optimizer, config, step)
    return model, optimizer


def take_step(model: Transformer, optimizer: torch.optim.AdamW, config: TrainConfig, step: int) -> None:
    loss = model(torch.arange(20).view(1, -1)).square().mean()
    loss.backward()
    optimizer_step(optimizer, config, step, gradient_norm(optimizer))


@pytest.mark.server
@pytest.mark.parametrize("where", ["local", "s3", "hdfs"])
def test_training_resumes_from_any_storage(
    where: str, world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue(where)
    folder = storage.join(root, "checkpoint-test")
    for step in (1, 2, 3):
        checkpoint.save(folder, step, *trained(world, step), PINS, "fingerprint", world)
    checkpoint.remove_old(folder, keep=2)
    fs, inner = storage.filesystem(folder)
    kept = sorted(storage.name(path) for path in fs.ls(inner, detail=False))
    assert kept == ["latest", "step-00000002", "step-00000003"]

    model, optimizer = trained(world, 0)
    found = find_latest(folder)
    assert found
    assert found[1].facts["tokenizer_sha256"] == "0" * 64
    assert checkpoint.restore(*found, model, optimizer, world) == 3
    expected, expected_optimizer = trained(world, 3)
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(optimizer.state_dict(), expected_optimizer.state_dict(), rtol=0, atol=0)

    whole = Transformer(SHAPE)
    load_weights(*found, whole)
    for name, weight in expected.state_dict().items():
        assert torch.equal(whole.state_dict()[name], weight.full_tensor())


def test_muon_resumes_bit_for_bit(world: World, tmp_path: Path) -> None:
    folder, muon = str(tmp_path), TrainConfig(optimizer="muon", learning_rate=0.01)
    checkpoint.save(folder, 2, *trained(world, 2, muon), PINS, "fingerprint", world)
    model, optimizer = trained(world, 0, muon)
    found = find_latest(folder)
    assert found
    assert checkpoint.restore(*found, model, optimizer, world) == 2
    take_step(model, optimizer, muon, 3)
    expected, expected_optimizer = trained(world, 3, muon)
    torch.testing.assert_close(model.state_dict(), expected.state_dict(), rtol=0, atol=0)
    torch.testing.assert_close(optimizer.state_dict(), expected_optimizer.state_dict(), rtol=0, atol=0)
    moments = {name for state in optimizer.state.values() for name in state}
    assert moments == {"momentum", "step", "exp_avg", "exp_avg_sq"}


def test_incomplete_checkpoints_are_removed(world: World, tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    assert find_latest(folder) is None
    checkpoint.remove_old(folder, keep=2)
    state = trained(world, 0)
    checkpoint.save(folder, 1, *state, PINS, "fingerprint", world)
    (tmp_path / "checkpoints" / "step-00000002").mkdir()
    checkpoint.remove_old(folder, keep=2)
    found = find_latest(folder)
    assert found
    assert storage.name(found[0]) == "step-00000001"
    assert not (tmp_path / "checkpoints" / "step-00000002").exists()

    (tmp_path / "checkpoints" / "step-00000001" / "__0_0.distcp").unlink()
    with pytest.raises(ManifestError, match="but missing"):
        checkpoint.restore(*found, *state, world)


def test_initial_weights_do_not_depend_on_sharding(world: World) -> None:
    sharded = build_sharded_model(SHAPE, world, "float32")
    initialize(sharded, seeded_initial_weight(SHAPE, 5))
    whole = Transformer(SHAPE)
    initialize(whole, seeded_initial_weight(SHAPE, 5))
    for name, weight in sharded.state_dict().items():
        assert torch.equal(weight.full_tensor(), whole.state_dict()[name])
