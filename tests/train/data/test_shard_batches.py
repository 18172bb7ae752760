"""Token shards under the loaders of PyTorch, in the order in which the trainer reads them."""

import re
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torchdata.stateful_dataloader import StatefulDataLoader

from core.errors import ConfigError, ManifestError, MismatchError
from core.shards import Shards
from tests.train.data.numbered import read_step
from train.data.batch_sizes import BatchSizes
from train.data.dataset import ShardDataset
from train.data.read_ahead import ReadAhead
from train.data.shard_batches import ShardBatches
from train.data.stream import Stream

STEPS = 30


@pytest.fixture(scope="module")
def expected(packed: Path) -> list[Tensor]:
    """Inputs of the first steps as the trainer reads them, 12 rows each."""
    dataset = ShardDataset(Shards.open(str(packed / "shards")))
    rows = {source: dataset.num_rows("train", source) for source in dataset.sources}
    stream = Stream(dataset.sha256, 3, rows, {"books": 1, "wikipedia": 1})
    return [
        read_step(dataset, stream, BatchSizes(12).positions(step))[0].batch().inputs
        for step in range(1, STEPS + 1)
    ]


def opened(packed: Path, **settings: int) -> ShardBatches:
    return ShardBatches(str(packed / "shards"), 12, seed=3, mixture={"books": 1, "wikipedia": 1}, **settings)


def inputs(batches: object) -> list[Tensor]:
    return [batch["input_ids"] for batch in batches]  # type: ignore[attr-defined]


def equal(found: list[Tensor], expected: list[Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


def test_batches_are_those_of_the_trainer(packed: Path, expected: list[Tensor]) -> None:
    batches = opened(packed)
    assert equal(inputs(islice(batches, STEPS)), expected)
    batch = next(iter(opened(packed)))
    documents, targets = batch["document_ids"], batch["targets"]
    assert batch["input_ids"].dtype == targets.dtype == torch.int64 and documents.dtype == torch.int32
    within = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    assert torch.equal(targets[:, :-1][within], batch["input_ids"][:, 1:][within])
    assert (targets[:, :-1][~within] == -100).all() and (targets[documents < 0] == -100).all()


def test_a_window_of_shuffled_blocks_is_read_ahead(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[float] = []

    def of(*arguments: float) -> ReadAhead:
        windows.append(arguments[3])
        return ReadAhead(4, 1)

    monkeypatch.setattr(ReadAhead, "of", of)
    rows = sum(Shards.open(str(packed / "shards")).rows("train", source) for source in ("books", "wikipedia"))
    for settings, expected in (
        ({}, 0),
        ({"shuffle_block": 3, "shuffle_window": 8}, 24 / 12),
        ({"shuffle_block": 3, "shuffle_window": 1_000_000}, rows / 12),
    ):
        next(iter(opened(packed, **settings)))
        assert windows.pop() == expected


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_do_not_change_the_order(packed: Path, expected: list[Tensor], workers: int) -> None:
    loader = DataLoader(opened(packed), batch_size=None, num_workers=workers)
    assert equal(inputs(islice(loader, STEPS)), expected)


def test_processes_share_the_batches(packed: Path, expected: list[Tensor]) -> None:
    parts = [inputs(islice(opened(packed, rank=rank, world_size=4), STEPS)) for rank in range(4)]
    assert equal([torch.cat(parts) for parts in zip(*parts, strict=True)], expected)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # of torchdata, by a newer PyTorch
@pytest.mark.parametrize("workers", [0, 2])
def test_stateful_loader_resumes(packed: Path, expected: list[Tensor], workers: int) -> None:
    first = StatefulDataLoader(opened(packed), batch_size=None, num_workers=workers)
    iterator = iter(first)
    assert equal(inputs(islice(iterator, 7)), expected[:7])
    state = first.state_dict()
    del iterator
    second = StatefulDataLoader(opened(packed), batch_size=None, num_workers=workers)
    second.load_state_dict(state)
    assert equal(inputs(islice(second, STEPS - 7)), expected[7:])


@pytest.mark.parametrize(("workers", "world_size"), [(0, 1), (2, 1), (0, 3)])
def test_continues_after_a_step_with_other_processes(
    packed: Path, expected: list[Tensor], workers: int, world_size: int
) -> None:
    parts = []
    for rank in range(world_size):
        batches = opened(packed, rank=rank, world_size=world_size)
        batches.start_after(11)
        loader = DataLoader(batches, batch_size=None, num_workers=workers)
        parts.append(inputs(islice(loader, STEPS - 11)))
    assert equal([torch.cat(each) for each in zip(*parts, strict=True)], expected[11:])


def test_state_is_one_number_and_belongs_to_its_order(packed: Path, expected: list[Tensor]) -> None:
    batches = opened(packed)
    assert equal(inputs(islice(batches, 5)), expected[:5])
    state = batches.state_dict()
    assert state["step"] == 5
    again = opened(packed, rank=1, world_size=2)
    again.load_state_dict(state)
    assert equal(inputs(islice(again, 4)), [each[6:] for each in expected[5:9]])
    with pytest.raises(MismatchError, match="another seed or mixture"):
        ShardBatches(str(packed / "shards"), 12, seed=4).load_state_dict(state)


def test_what_processes_cannot_share_is_refused(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size = 12: must be a positive multiple of the 5 processes"):
        opened(packed, world_size=5)
    damaged = shutil.copytree(packed / "shards", tmp_path / "shards")
    next(damaged.rglob("*.arrow")).write_bytes(b"")
    with pytest.raises(ManifestError, match=r"0 bytes, but manifest\.json says"):
        ShardBatches(str(damaged), 12)


def test_the_documented_example_learns(packed: Path) -> None:
    page = (Path(__file__).parents[3] / "docs/shards.md").read_text()
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "ShardBatches(" in block
    )
    for documented, tried in (
        ("OUT/shards", str(packed / "shards")),
        ("GPT2Config(", "GPT2Config(n_layer=1, n_head=2, n_embd=32, "),
        ("lr=3e-4", "lr=1e-2"),
        ("DataLoader(batches, batch_size=None)", "islice(DataLoader(batches, batch_size=None), 60)"),
        ("    loss.backward()", "    losses.append(loss.item())\n    loss.backward()"),
    ):
        assert documented in code
        code = code.replace(documented, tried)
    losses: list[float] = []
    exec(code, {"islice": islice, "losses": losses})
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
