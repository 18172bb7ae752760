"""A run whose batch size changes on the way, together with the mixture and an edit."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.shards import Shards
from tests.train.folder import STEPS, Folder
from tests.train.launch import run
from train import training_run
from train.explain import explain, explain_step
from train.loop import train
from train.parallel import World

pytestmark = pytest.mark.distributed

SIZES = [4, 4, 4, 8, 8, 8, 8, 12, 12, 12]
SCHEDULE = (
    "train.batch_size=4",
    "train.batch_size_schedule=[{from_step=4,batch_size=8},{from_step=8,batch_size=12}]",
    "train.mixture_schedule=[{from_step=6,mixture={books=1}}]",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Folder:
    """Train with one process."""
    folder = Folder(tmp_path_factory.mktemp("scheduled"), packed)
    train(folder.config(*SCHEDULE), world)
    return folder


def documents_of(folder: Folder, step: int, *overrides: str) -> Counter[str]:
    """Return how many spans of each document a step sees, as ``explain --step`` says."""
    _, *lines = explain_step(folder.config(*SCHEDULE, *overrides), step)
    return Counter(
        found[1] for line in lines if (found := re.fullmatch(r"    ([0-9a-f]{32}) tokens .*", line))
    )


def test_two_processes_train_as_one(made: Folder, packed: Path, tmp_path: Path) -> None:
    two = Folder(tmp_path, packed)
    ended = run(2, *two.arguments, *(part for each in SCHEDULE for part in ("--set", each)))
    assert ended.returncode == 0, ended.stderr
    assert "128 tokens, 256 from step 4, 384 from step 8" in ended.stdout
    assert two.metrics("data/") == made.metrics("data/")
    losses = [[line["train/loss"] for line in each.metrics("train/loss")] for each in (made, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    manifest = json.loads((made.training / "manifest.json").read_text())
    assert manifest["counts"]["sequences"] == sum(SIZES)


def test_steps_have_the_rows_of_the_schedule(made: Folder) -> None:
    hashes = [line["data/batch_hash"] for line in made.metrics("data/batch_hash")]
    for step, size in enumerate(SIZES, 1):
        head, *lines = explain_step(made.config(*SCHEDULE), step)
        assert head == f"step {step}: seen ({size} rows, batch hash {hashes[step - 1]})"
        sources = {line.split()[2] for line in lines if line.startswith("  position ")}
        assert sources == ({"train/books"} if step >= 6 else {"train/books", "train/wikipedia"})


def test_documents_are_found_in_the_steps_that_see_them(made: Folder) -> None:
    by_step = [documents_of(made, step) for step in range(1, STEPS + 1)]
    for document in sorted(set().union(*by_step))[:30]:
        _, *lines, _ = explain(made.config(*SCHEDULE), [document])
        found = Counter(int(line.split()[1].rstrip(":")) for line in lines)
        assert found == {step: seen[document] for step, seen in enumerate(by_step, 1) if document in seen}


def test_an_edit_begins_with_the_first_row_of_its_step(made: Folder, packed: Path, tmp_path: Path) -> None:
    file = Shards.open(str(packed / "shards")).files("train", "books")[0].path
    edit = f"train.edits=[{{file='{file}',from_step=8}}]"
    folder = Folder(tmp_path, packed)
    for step in (7, 8):
        lines = [line for line in explain_step(folder.config(*SCHEDULE, edit), step) if " tokens " in line]
        assert any("left out from step 8 on" in line for line in lines) == (step == 8)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batch_size=6"], r"train\.batch_size = 6: must be a multiple of the number of processes, 4"),
        (
            ["batch_size=8", "batch_size_schedule=[{from_step=3,batch_size=10}]"],
            r"train\.batch_size_schedule\[0\]\.batch_size = 10: must be a multiple of .*, 4; change it",
        ),
    ],
)
def test_all_batches_must_be_divisible(made: Folder, overrides: list[str], message: str) -> None:
    config = made.config(*(f"train.{each}" for each in overrides))
    with pytest.raises(ConfigError, match=message):
        training_run.check_processes("train", config.train, 4, "--nproc-per-node")
