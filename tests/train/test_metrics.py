import json
from pathlib import Path

import fsspec
import pytest

from train.metrics import MetricsWriter, ProgressLine, duration


def test_what_was_told_after_the_checkpoint_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in range(1, 6)) + '{"step": 6, "tr')
    metrics = MetricsWriter(str(tmp_path), 3)
    metrics.write(4, {"train/loss": 1.5, "data/batch_hash": "00ff"})
    metrics.close()
    told = [json.loads(line) for line in path.read_text().splitlines()]
    assert told == [
        {"step": 1},
        {"step": 2},
        {"step": 3},
        {"step": 4, "train/loss": 1.5, "data/batch_hash": "00ff"},
    ]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_remote_runs_are_published(tmp_path: Path) -> None:
    folder = "memory://metrics-test/training"
    for step in (0, 2):
        metrics = MetricsWriter(folder, step)
        for later in range(step + 1, step + 4):
            metrics.write(later, {"train/loss": float(later)})
        metrics.publish()
        metrics.close()
    memory = fsspec.filesystem("memory")
    lines = memory.cat_file("/metrics-test/training/metrics.jsonl").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert len(memory.ls("/metrics-test/training/tensorboard")) == 2


def test_progress_is_a_readable_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("train", 1, 10)
    progress.update(1, {"train/loss": 3.0, "perf/tok_per_sec": 12345.6})
    progress.update(2, {"train/loss": 2.5, "perf/tok_per_sec": 12345.6, "val/bpb": 1.75})
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("train: step 2/10 · loss 2.500 · val bpb 1.750 · 12,346 tokens/s · ")


def test_durations_read_well() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3725, 90_000)] == [
        "0s",
        "59s",
        "1m 01s",
        "1h 02m",
        "25h 00m",
    ]
