"""The benchmark for GPUs, rehearsed on the CPU."""

import sys
from pathlib import Path

from tests.commands import run


def test_benchmark_for_gpus_runs_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "gpu.md"
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--steps", "2"]
    run([*command, "--output", str(output)], {})
    text = output.read_text()
    parts = ["Correctness", "Attention", "Training tiny", "Generation"]
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == parts
    (apart,) = [line.split("|")[4] for line in text.splitlines() if line.startswith("| cpu, bfloat16")]
    assert 0 < float(apart) < 1e-3
    assert "Not measured" not in text
