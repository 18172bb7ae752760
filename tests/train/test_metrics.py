import json
from pathlib import Path

import fsspec
import pytest

from train.metrics import MetricsWriter, ProgressLine


def test_lines_after_the_checkpoint_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in range(1, 6)) + '{"step": 6, "tr')
    metrics = MetricsWriter(str(tmp_path), 3)
    metrics.write(4, {"train/loss": 1.5, "data/batch_hash": "00ff"})
    metrics.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"step": 1},
        {"step": 2},
        {"step": 3},
        {"step": 4, "train/loss": 1.5, "data/batch_hash": "00ff"},
    ]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_metrics_are_uploaded_to_remote_folders(tmp_path: Path) -> None:
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


def test_progress_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("train", 1, 10)
    progress.update(1, {"train/loss": 3.0, "perf/tok_per_sec": 12345.6})
    progress.update(2, {"train/loss": 2.5, "perf/tok_per_sec": 12345.6, "val/bpb": 1.75})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("train: step 2/10 · loss 2.500 · val bpb 1.750 · 12,346 tokens/s · ")
