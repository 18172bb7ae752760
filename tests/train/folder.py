"""Output folders for test runs."""

import json
import shutil
from pathlib import Path
from typing import Any

from core import config
from core.config import Config

STEPS = 10
CONFIG = f"""
[output]
path = "OUTPUT"
[model]
num_layers = 2
hidden_size = 32
num_heads = 4
num_kv_heads = 2
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
sample_prompts = ["the old mill", "slow"]
sample_tokens = 5
"""


class Folder:
    """Copy of an output folder (tokenizer, shards, earlier training), with the configuration of a run."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.output = folder / "out"
        shutil.copytree(source, self.output)
        self.training = self.output / "training"
        self.metrics_file = self.training / "metrics.jsonl"
        self._file = folder / "config.toml"
        self._file.write_text(CONFIG.replace("OUTPUT", str(self.output)))
        self.arguments = ("--config", str(self._file))

    def config(self, *overrides: str) -> Config:
        return config.load(str(self._file), overrides)

    def metrics(self, *prefixes: str) -> list[dict[str, Any]]:
        """Return for each step the metrics whose names have one of ``prefixes``."""
        lines = [json.loads(line) for line in self.metrics_file.read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
        return [{key: value for key, value in line.items() if key.startswith(prefixes)} for line in lines]

    def samples(self) -> list[dict[str, Any]]:
        """Return the lines of ``samples.jsonl``."""
        return [json.loads(line) for line in (self.training / "samples.jsonl").read_text().splitlines()]

    def contents(self) -> dict[str, bytes]:
        """Return the content of each file by relative path."""
        files = sorted(path for path in self.output.rglob("*") if path.is_file())
        return {str(path.relative_to(self.output)): path.read_bytes() for path in files}
