"""The trainer at two gloo processes: killed, resumed, moved, misused."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.train.launch import kill_after, run
from tests.train.shard_maker import small_run

pytestmark = pytest.mark.distributed

STEPS = 10
CONFIG = f"""
[output]
path = "OUTPUT"
[model]
layers = 2
width = 32
heads = 4
kv_heads = 2
[train]
steps = {STEPS}
batch_size = 8
micro_batch_size = 2
warmup_steps = 2
learning_rate = 3e-3
mixture = {{ books = 1.0, wikipedia = 1.0 }}
validate_every = 4
validation_sequences = 9
checkpoint_every = 3
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer and shards, nothing trained."""
    output = tmp_path_factory.mktemp("packed")
    small_run(str(output))
    return output


class Run:
    """A folder to train in, with its configuration."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.output = folder / "out"
        shutil.copytree(source, self.output)
        self.config = folder / "config.toml"
        self.config.write_text(CONFIG.replace("OUTPUT", str(self.output)))
        self.arguments = ("--config", str(self.config))
        self.metrics_file = self.output / "training" / "metrics.jsonl"

    def metrics(self, *prefixes: str) -> list[dict[str, Any]]:
        """What was told of each step under names with one of these prefixes."""
        lines = [json.loads(line) for line in self.metrics_file.read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
        return [{key: value for key, value in line.items() if key.startswith(prefixes)} for line in lines]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Run:
    """A run of two processes from first to last."""
    result = Run(tmp_path_factory.mktemp("uninterrupted"), packed)
    ended = run(2, *result.arguments)
    assert ended.returncode == 0, ended.stderr
    assert "Warning" not in ended.stderr
    assert all(line.startswith("train: step ") for line in ended.stderr.splitlines()), ended.stderr
    return result


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> Run:
    """A run of two processes that was killed between its first checkpoint and its end."""
    result = Run(tmp_path_factory.mktemp("killed"), packed)
    kill_after(random.randint(4, 8), result.metrics_file, 2, *result.arguments)
    assert len(result.metrics("train/")) < STEPS
    return result


LEARNED = ("train/", "val/", "data/")


def test_it_learns_and_tells(uninterrupted: Run) -> None:
    told = uninterrupted.metrics("")
    assert told[-1]["train/loss"] < told[0]["train/loss"] - 0.3
    assert told[-1]["val/bpb"] < told[3]["val/bpb"]
    assert {"train/lr", "train/grad_norm", "data/batch_hash", "perf/tok_per_sec", "perf/data_wait"} <= set(
        told[0]
    )
    assert {f"val/{what}/{source}" for what in ("loss", "bpb") for source in ("books", "wikipedia")} <= set(
        told[-1]
    )
    assert [line["step"] for line in told if "val/bpb" in line] == [4, 8, 10]
    assert list((uninterrupted.output / "training" / "tensorboard").iterdir())
    checkpoints = uninterrupted.output / "training" / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["latest", "step-00000009", "step-00000010"]


def test_a_killed_run_resumes_bit_for_bit(uninterrupted: Run, killed: Run, tmp_path: Path) -> None:
    resumed = Run(tmp_path, killed.output)
    # What a checkpoint leaves behind that was cut short.
    torn = resumed.output / "training" / "checkpoints" / "step-00000099"
    shutil.copytree(resumed.output / "training" / "checkpoints" / "step-00000003", torn)
    ended = run(2, *resumed.arguments)
    assert ended.returncode == 0, ended.stderr
    assert "resuming after step" in ended.stdout
    assert resumed.metrics(*LEARNED) == uninterrupted.metrics(*LEARNED)
    assert not torn.exists()


def test_another_number_of_processes_sees_the_same_batches(
    uninterrupted: Run, killed: Run, tmp_path: Path
) -> None:
    resumed = Run(tmp_path, killed.output)
    ended = run(1, *resumed.arguments)
    assert ended.returncode == 0, ended.stderr
    assert "resuming after step" in ended.stdout
    assert resumed.metrics("data/") == uninterrupted.metrics("data/")
    for one, two in zip(resumed.metrics("train/loss"), uninterrupted.metrics("train/loss"), strict=True):
        assert one["train/loss"] == pytest.approx(two["train/loss"], rel=1e-4)


def test_a_complete_run_is_left_alone(uninterrupted: Run) -> None:
    before = uninterrupted.metrics_file.read_bytes()
    ended = run(1, *uninterrupted.arguments)
    assert (ended.returncode, ended.stdout) == (0, f"train: already done (step {STEPS})\n")
    assert uninterrupted.metrics_file.read_bytes() == before


def test_another_configuration_is_refused_in_one_line_by_all_processes(uninterrupted: Run) -> None:
    before = uninterrupted.metrics_file.read_bytes()
    ended = run(2, *uninterrupted.arguments, "--set", "train.seed=2")
    assert ended.returncode == 1
    assert ended.stderr.count("error: ") == 1
    assert "holds another run's training" in ended.stderr
    assert uninterrupted.metrics_file.read_bytes() == before


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("trouble", ["uneven batch", "changed shard", "foreign tokenizer", "unknown source"])
def test_bad_input_is_one_line_and_changes_nothing(packed: Path, tmp_path: Path, trouble: str) -> None:
    made = Run(tmp_path, packed)
    processes, extra, message = 1, (), ""
    if trouble == "uneven batch":
        processes, extra, message = 2, ("--set", "train.batch_size=9"), "must be a multiple of the number of"
    elif trouble == "changed shard":
        flip(next((made.output / "shards" / "train" / "books").iterdir()))
        message = "was altered"
    elif trouble == "foreign tokenizer":
        manifest = made.output / "shards" / "manifest.json"
        found = json.loads(manifest.read_text())
        found["facts"]["tokenizer_sha256"] = "0" * 64
        manifest.write_text(json.dumps(found))
        message = "packed with tokenizer 000000000000…"
    else:
        extra, message = ("--set", "train.mixture.news=1.0"), "have no training rows of it"
    ended = run(processes, *made.arguments, *extra)
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if message in line] == [
        line for line in ended.stderr.splitlines() if line.startswith("error: ")
    ]
    assert processes == 2 or ended.stderr.count("\n") == 1
    assert not (made.output / "training").exists()
