import errno
import io
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from fsspec.implementations.local import LocalFileSystem

from core import storage
from core.config import TrainConfig
from core.errors import ManifestError, OutputError, TrainingError
from core.stage import Stage
from model.config import TransformerConfig
from model.formats.checkpoint import find_latest, load_weights
from model.formats.dcp_storage import DcpWriter
from model.transformer import Transformer
from train import checkpoint
from train.checkpoint import CheckpointWriter
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


def write(folder: str, world: World, *steps: int, keep: int = 9) -> None:
    """Write the checkpoints of some steps."""
    remove_old = partial(checkpoint.remove_old, folder, keep)
    with CheckpointWriter(folder, "fingerprint", world, remove_old) as writer:
        for step in steps:
            writer.begin(step, *trained(world, step), PINS)


def take_step(model: Transformer, optimizer: torch.optim.AdamW, config: TrainConfig, step: int) -> None:
    loss = model(torch.arange(20).view(1, -1)).square().mean()
    loss.backward()
    optimizer_step(optimizer, config, step, gradient_norm(optimizer))


@pytest.mark.parametrize("optimizer_name", ["adamw", "muon"])
def test_a_checkpoint_before_the_first_update_changes_nothing(
    optimizer_name: Literal["adamw", "muon"], world: World, tmp_path: Path
) -> None:
    """All steps before it may have been skipped."""
    config = TrainConfig(optimizer=optimizer_name)
    saved, restored, plain = (trained(world, 0, config) for _ in range(3))
    with CheckpointWriter(str(tmp_path), "fingerprint", world) as writer:
        writer.begin(1, *saved, PINS)
    found = find_latest(str(tmp_path))
    assert found
    checkpoint.restore(*found, *restored, world)
    for model, optimizer in (saved, restored, plain):
        take_step(model, optimizer, config, 1)
    for model, optimizer in (saved, restored):
        torch.testing.assert_close(model.state_dict(), plain[0].state_dict(), rtol=0, atol=0)
        torch.testing.assert_close(optimizer.state_dict(), plain[1].state_dict(), rtol=0, atol=0)


@pytest.mark.server
@pytest.mark.parametrize("where", ["local", "s3", "hdfs"])
def test_training_resumes_from_any_storage(
    where: str, world: World, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path) if where == "local" else request.getfixturevalue(where)
    folder = storage.join(root, "checkpoint-test")
    with monkeypatch.context() as patch:
        patch.setattr(storage, "open_read", None)  # nothing is read again to be hashed
        write(folder, world, 1, 2, 3, keep=2)
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


def test_training_goes_on_while_a_checkpoint_is_written(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is that of the call, although the weights change before it is written."""
    folder, may_write = str(tmp_path / "checkpoints"), threading.Event()
    write_data = DcpWriter.write_data

    def wait_and_write(writer: DcpWriter, *arguments: Any) -> Any:
        assert may_write.wait(60)
        return write_data(writer, *arguments)

    monkeypatch.setattr(DcpWriter, "write_data", wait_and_write)
    model, optimizer = trained(world, 2)
    with CheckpointWriter(folder, "fingerprint", world) as writer:
        writer.begin(2, model, optimizer, PINS)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        may_write.set()
        while not (tmp_path / "checkpoints" / "step-00000002" / ".metadata").exists():
            assert not writer.has_failed
            time.sleep(0.01)
        # Written, but only published with its certificate.
        assert writer.needs_certificate
        assert find_latest(folder) is None
        writer.certify({"step": 3})
        writer.certify({"step": 4})
        writer.wait()
        found = find_latest(folder)
        assert found
        assert found[1].facts["certificate"] == {"step": 3}
    checkpoint.restore(*found, model, optimizer, world)
    torch.testing.assert_close(model.state_dict(), trained(world, 2)[0].state_dict(), rtol=0, atol=0)


def test_a_checkpoint_in_progress_is_published_after_an_error(world: World, tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    with pytest.raises(TrainingError), CheckpointWriter(folder, "fingerprint", world) as writer:
        writer.begin(1, *trained(world, 1), PINS)
        raise TrainingError("of the next step")
    found = find_latest(folder)
    assert found
    assert (found[1].counts["step"], found[1].facts["certificate"]) == (1, None)


def test_checkpoints_of_every_n_steps_are_kept_for_good(tmp_path: Path) -> None:
    names = [f"step-{step:08}" for step in (100, 150, 200, 300, 400, 401)]
    for name in names:
        Stage("checkpoint", str(tmp_path / name)).publish({}, [])
    (tmp_path / "latest").write_text("step-00000400")
    checkpoint.remove_old(str(tmp_path), 2, 200)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", names[2], names[3], names[4]]
    checkpoint.remove_old(str(tmp_path), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest", names[4]]


def test_a_checkpoint_that_is_half_removed_has_no_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        Stage("checkpoint", str(tmp_path / f"step-{step:08}")).publish({}, [])
    remove, removed = storage.remove, list[str]()

    def interrupted(path: str) -> None:
        removed.append(path)
        if len(removed) == 2:
            raise KeyboardInterrupt
        remove(path)

    monkeypatch.setattr(storage, "remove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.remove_old(str(tmp_path), 1)
    assert [path.name for path in (tmp_path / "step-00000001").iterdir()] == []


@pytest.mark.parametrize("failure", ["a full disk", "a file that was cut", "publishing"])
def test_failed_checkpoints_are_not_published(
    failure: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "checkpoints")
    write(folder, world, 1)
    if failure == "a full disk":
        monkeypatch.setattr(LocalFileSystem, "open", lambda *_: FullDisk())
        message = r"__0_0\.distcp: No space left on device; free space and run the command again"
    elif failure == "a file that was cut":
        report = storage.file_info
        monkeypatch.setattr(storage, "file_info", lambda path: replace(report(path), size=7))
        message = r"__0_0\.distcp: has 7 bytes after \d+ were written; check the storage"
    else:
        (tmp_path / "checkpoints" / "step-00000002" / "manifest.json").mkdir(parents=True)
        message = r"manifest\.json: Is a directory; check the path"
    with CheckpointWriter(folder, "fingerprint", world) as writer:
        writer.begin(2, *trained(world, 2), PINS)
        writer.certify(None)
        while not writer.has_failed:
            time.sleep(0.01)
        with pytest.raises(OutputError, match=message):
            writer.wait()
    monkeypatch.undo()
    found = find_latest(folder)
    assert found
    assert found[1].counts["step"] == 1


class FullDisk(io.BytesIO):
    """A file whose write fails once in the middle of a tensor, where torch raises an error of its own."""

    is_in_tensor = has_failed = False

    def write(self, data: Any) -> int:
        if self.is_in_tensor and not self.has_failed:
            self.has_failed = True
            raise OSError(errno.ENOSPC, "No space left on device")
        self.is_in_tensor = bytes(data[:2]) == b"PK"  # of a zip file
        return super().write(data)


def test_muon_resumes_bit_for_bit(world: World, tmp_path: Path) -> None:
    folder, muon = str(tmp_path), TrainConfig(optimizer="muon", learning_rate=0.01)
    with CheckpointWriter(folder, "fingerprint", world) as writer:
        writer.begin(2, *trained(world, 2, muon), PINS)
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
    write(folder, world, 1)
    (tmp_path / "checkpoints" / "step-00000002").mkdir()
    checkpoint.remove_old(folder, keep=2)
    found = find_latest(folder)
    assert found
    assert storage.name(found[0]) == "step-00000001"
    assert not (tmp_path / "checkpoints" / "step-00000002").exists()

    (tmp_path / "checkpoints" / "step-00000001" / "__0_0.distcp").unlink()
    with pytest.raises(ManifestError, match="but missing"):
        checkpoint.restore(*found, *trained(world, 0), world)


def test_initial_weights_do_not_depend_on_sharding(world: World) -> None:
    sharded = build_sharded_model(SHAPE, world, "float32")
    initialize(sharded, seeded_initial_weight(SHAPE, 5))
    whole = Transformer(SHAPE)
    initialize(whole, seeded_initial_weight(SHAPE, 5))
    for name, weight in sharded.state_dict().items():
        assert torch.equal(weight.full_tensor(), whole.state_dict()[name])


def test_losing_the_pointer_loses_no_checkpoint(tmp_path: Path) -> None:
    folder = str(tmp_path)
    for step in (3, 6, 9):
        Stage("checkpoint", storage.join(folder, f"step-{step:08}"), "f").publish({"step": step}, [])
    (tmp_path / "step-00000009" / "manifest.json").write_text('{"stage": "che')
    (tmp_path / "step-00000012").mkdir()
    found = find_latest(folder)
    assert found and found[0].endswith("step-00000006") and found[1].counts == {"step": 6}
    checkpoint.remove_old(folder, keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000006"]
    assert find_latest(str(tmp_path / "absent")) is None
    checkpoint.remove_old(str(tmp_path / "absent"), keep=1)
