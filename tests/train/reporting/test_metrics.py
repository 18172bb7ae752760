import json
from pathlib import Path

import fsspec
import pytest

from train.reporting.metrics import ProgressLine, StepLines, finite, read_lines


def test_lines_after_the_checkpoint_are_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(f'{{"step": {step}}}\n' for step in range(1, 6)) + '{"step": 6, "tr')
    lines = StepLines(str(tmp_path), path.name, 3)
    lines.add(4, {"train/loss": 1.5, "data/batch_hash": "00ff"})
    lines.close()
    assert list(read_lines(str(path))) == [
        {"step": 1},
        {"step": 2},
        {"step": 3},
        {"step": 4, "train/loss": 1.5, "data/batch_hash": "00ff"},
    ]


def test_lines_are_uploaded_to_remote_folders() -> None:
    folder = "memory://metrics-test/training"
    for step in (0, 2):
        lines = StepLines(folder, "metrics.jsonl", step)
        for later in range(step + 1, step + 4):
            lines.add(later, {"train/loss": float(later)})
        lines.publish()
        lines.close()
    written = fsspec.filesystem("memory").cat_file("/metrics-test/training/metrics.jsonl").splitlines()
    assert [json.loads(line)["step"] for line in written] == [1, 2, 3, 4, 5]


def test_numbers_that_are_not_finite_are_left_out() -> None:
    assert finite({"a": float("nan"), "b": 1.0, "c": "text", "d": 2}) == {"b": 1.0, "c": "text", "d": 2}


def test_progress_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine("train", 10)
    progress.update(1, {"train/loss": 3.0, "perf/tok_per_sec": 12345.6, "perf/time_left": 90.0})
    progress.update(
        2, {"train/loss": 2.5, "perf/tok_per_sec": 12345.6, "val/bpb": 1.75, "perf/time_left": 80.0}
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["train: step 2/10 · loss 2.500 · val bpb 1.750 · 12,346 tokens/s · 1 min 20 s left"]
