"""Validation loss on the tiny Shakespeare beside nanoGPT's CPU setting.

``python benchmarks/shakespeare.py INPUT [--variants NAME …] [--seeds 1 2 3]``; INPUT is ``input.txt`` of
karpathy/char-rnn, ``data/tinyshakespeare``: 1,115,394 characters. nanoGPT's CPU setting has 4 layers, 4
heads, 128 channels, no dropout, and takes 2,000 steps of 12 windows of 64 characters.

Ours is the trainer as users run it, ``python -m train``, with as many steps and tokens and no more
parameters. The first 90 % of the text are one document, packed by concatenation. Its rows are drawn without
repetition until all have been seen, where nanoGPT draws windows at random. The character tokenizer also has
tokens of bytes and of chat marks, which count as parameters and which the loss is normalized over, so that
feed-forward layers are narrower. The loss is the mean over all characters of the last 10 % but the first,
which are predicted in windows of 64 one after another, each without what is before it. Adds a line for every
run to ``benchmarks/results/shakespeare.md``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from benchmarks.packed_run import encode, write_data
from core import errors
from core.config import TokenizerConfig
from core.errors import InputError
from core.shards import SplitName
from core.tokenizer import train as train_tokenizer
from model.loading import LoadedModel, load
from model.transformer import Transformer

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results" / "shakespeare.md"
MAX_PARAMETERS = 804_096
"""Of nanoGPT's model: 4 · (12 · 128² + 2 · 128) in blocks, (65 + 64) · 128 in embeddings, a norm of 128."""
CHARACTERS, WINDOW = 1_115_394, 64

Settings = Mapping[str, str | int | float]
COMMON: Settings = {
    "model.num_layers": 4,
    "model.hidden_size": 128,
    "model.num_heads": 4,
    "model.num_kv_heads": 4,
    "train.steps": 2000,
    "train.batch_size": 12,
    "train.micro_batch_size": 12,
    "train.validate_every": 500,
    "train.checkpoint_every": 1000,
}
MODERN: Settings = {**COMMON, "model.intermediate_size": 320}
GPT2: Settings = {
    **COMMON,
    "model.architecture": "gpt2",
    "model.intermediate_size": 472,
    "model.dropout": 0.0,
}
NANOGPT: Settings = {"train.learning_rate": 1e-3, "train.warmup_steps": 100, "train.beta2": 0.99}
"""Learning rate, cosine schedule and betas of nanoGPT."""
MUON: Settings = {
    "train.optimizer": "muon",
    "train.learning_rate": 8e-3,
    "train.schedule": "linear",
    "train.min_lr_ratio": 0,
    "train.beta2": 0.99,
}
VARIANTS: Mapping[str, Settings] = {
    "modern, Muon": {**MODERN, **MUON},
    "gpt2, Muon": {**GPT2, **MUON},
    "gpt2, nanoGPT's AdamW": {**GPT2, **NANOGPT},
    "modern, nanoGPT's AdamW": {**MODERN, **NANOGPT},
}


class Result(NamedTuple):
    """A finished run."""

    parameters: int
    validation: float
    """Nats per character of the whole validation text."""
    training: float
    """Mean of the last 100 steps."""


def write_run(folder: Path, texts: Mapping[SplitName, str]) -> None:
    """Write a character tokenizer and shards of ``texts``, a document each."""
    settings = TokenizerConfig(kind="char", vocabulary_size=400)
    tokenizer = train_tokenizer("".join(texts.values()).splitlines(keepends=True), settings)
    parts = {split: encode(tokenizer, [text]) for split, text in texts.items()}
    write_data(folder, tokenizer, WINDOW, parts, source="shakespeare", method="concatenate")


def train(settings: Settings, texts: Mapping[SplitName, str]) -> Result:
    """Train in a process of its own; return what it reached."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_run(folder, texts)
        given: Settings = {"output.path": str(folder), **settings}
        command = [sys.executable, "-m", "train"]
        for key, value in given.items():
            command += ["--set", f"{key}={json.dumps(value)}"]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        loaded = load(str(folder))
        parameters = sum(weight.numel() for weight in loaded.model.parameters())
        lines = (folder / "training" / "metrics.jsonl").read_text().splitlines()
        last = [json.loads(line)["train/loss"] for line in lines[-100:]]
        return Result(parameters, validation_loss(loaded, texts["validation"]), sum(last) / len(last))


@torch.no_grad()
def validation_loss(loaded: LoadedModel, text: str) -> float:
    """Return the mean nats of all characters of ``text`` but the first, in windows one after another."""
    tokens = torch.tensor(loaded.tokenizer.encode(text))
    if len(tokens) != len(text):
        raise InputError(f"the validation text has {len(text)} characters, but {len(tokens)} tokens")
    model = loaded.model.eval()
    whole = (len(tokens) - 1) // WINDOW * WINDOW
    nats = _nats(model, tokens[:whole].view(-1, WINDOW), tokens[1 : whole + 1].view(-1, WINDOW))
    if whole < len(tokens) - 1:
        nats += _nats(model, tokens[None, whole:-1], tokens[None, whole + 1 :])
    return nats / (len(tokens) - 1)


def _nats(model: Transformer, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Return the sum of the losses of ``targets``, int64 ``[B, T]``."""
    parts = zip(torch.split(inputs, 64), torch.split(targets, 64), strict=True)
    return sum(
        float(F.cross_entropy(model(given).flatten(0, 1), expected.flatten(), reduction="sum"))
        for given, expected in parts
    )


def read(path: Path) -> Mapping[SplitName, str]:
    """Return the first 90 % of the text and the rest, as nanoGPT divides it."""
    text = path.read_text()
    if len(text) != CHARACTERS:
        raise InputError(
            f"{path}: has {len(text):,} characters, not {CHARACTERS:,}; give input.txt of char-rnn"
        )
    border = int(len(text) * 0.9)
    return {"train": text[:border], "validation": text[border:]}


def main(arguments: Sequence[str]) -> None:
    """Train all variants with all seeds, and add their lines to the results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("input", metavar="INPUT", type=Path, help="the text, input.txt")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    texts = read(options.input)
    for name in options.variants:
        for seed in options.seeds:
            found = train({**VARIANTS[name], "train.seed": seed}, texts)
            if found.parameters > MAX_PARAMETERS:
                raise InputError(f"{name}: has {found.parameters:,} parameters, above {MAX_PARAMETERS:,}")
            line = (
                f"| {name} | {seed} | {found.parameters:,} | {found.validation:.4f} "
                f"| {found.training:.4f} | {date.today()} |"
            )
            print(line, flush=True)
            with options.output.open("a") as results:
                results.write(line + "\n")


if __name__ == "__main__":
    errors.run(main)
