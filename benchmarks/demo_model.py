"""Bits per byte of the demonstration's model with other optimizers and schedules, with several seeds.

``python benchmarks/demo_model.py [--variants NAME …] [--seeds 1 2 3]``, after ``make demo``. Each model is
trained on the demonstration's shards with as many steps and tokens, as a named run (``train.name``), and
validated on all documents of the validation split. Runs that are complete are not repeated. Writes
``benchmarks/results/demo_model.md``.
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import torch

from core import config, errors

REPOSITORY = Path(__file__).parents[1]
CONFIG = REPOSITORY / "configs" / "demo.toml"
RESULTS = REPOSITORY / "benchmarks" / "results" / "demo_model.md"

Settings = Mapping[str, str | float]
VARIANTS: Mapping[str, Settings] = {
    "AdamW, cosine to a tenth": {
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "min_lr_ratio": 0.1,
    },
    "AdamW, linear to 0": {
        "optimizer": "adamw",
        "learning_rate": 2e-3,
        "schedule": "linear",
        "min_lr_ratio": 0.0,
    },
    "Muon, linear to 0": {
        "optimizer": "muon",
        "learning_rate": 8e-3,
        "schedule": "linear",
        "min_lr_ratio": 0.0,
    },
}
"""Keys of ``[train]``; the last are those of ``configs/demo.toml``."""


def bits_per_byte(variant: str, seed: int) -> float:
    """Train and validate one model, unless it is complete."""
    name = f"{re.sub('[^a-z0-9]+', '-', variant.lower())}-{seed}"
    given = {**VARIANTS[variant], "seed": seed, "name": name}
    arguments = ["--config", str(CONFIG)]
    for key, value in given.items():
        arguments += ["--set", f"train.{key}={json.dumps(value)}"]
    for module in ("train", "train.validate"):
        command = [sys.executable, "-m", module, *arguments]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    folder = REPOSITORY / config.load(str(CONFIG)).output.path / name
    report = json.loads((folder / "validation.json").read_text())
    return float(report["sources"]["all"]["bits_per_byte"])


def table(variants: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| | mean | {' | '.join(f'seed {seed}' for seed in seeds)} |"
    yield "|---" + "|--:" * (1 + len(seeds)) + "|"
    for variant in variants:
        found = [bits_per_byte(variant, seed) for seed in seeds]
        row = " | ".join(f"{each:.3f}" for each in [statistics.mean(found), *found])
        yield f"| {variant} | {row} |"


def main(arguments: Sequence[str]) -> None:
    """Train all variants with all seeds, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    train = config.load(str(CONFIG)).train
    lines = [
        "# The demonstration's model",
        "",
        f"`python benchmarks/demo_model.py`, {date.today()}, {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}. Bits per byte on all validation documents "
        f"after {train.steps} steps of {train.batch_size} rows.",
        "",
        *table(options.variants, options.seeds),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    options.output.write_text(text)


if __name__ == "__main__":
    errors.run(main)
