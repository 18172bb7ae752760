"""Peak memory and time of the cross-entropy of next tokens: forward and backward through the output layer.

``python benchmarks/cross_entropy.py [--tokens 4096] [--vocabulary 49152] [--hidden 576]`` (the output layer
of SmolLM2-135M). Each contestant runs in processes of its own, which take turns:

- *all logits*: ``F.cross_entropy`` on the logits of all tokens, losses by token;
- *torch, by token*: ``F.linear_cross_entropy`` in chunks with ``reduction="none"``;
- *torch, sum*: the same with ``reduction="sum"``, which returns no losses by token;
- *ours*: :func:`model.cross_entropy.chunked_cross_entropy`, losses by token.

Memory is the peak of the resident set, without what inputs and imports take; time is the median of the
repetitions. Prints a table, or writes it to ``--output``.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from core import errors
from model.cross_entropy import chunked_cross_entropy

REPETITIONS = 3


def all_logits(states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(F.linear(states, weight), targets, reduction="none").sum()


def torch_by_token(states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    options = torch.nn.LinearCrossEntropyOptions()
    return F.linear_cross_entropy(states, weight, targets, reduction="none", options=options).sum()


def torch_sum(states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    options = torch.nn.LinearCrossEntropyOptions()
    return F.linear_cross_entropy(states, weight, targets, reduction="sum", options=options)


def ours(states: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return chunked_cross_entropy(states, weight, targets).total


CONTESTANTS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "all logits": all_logits,
    "torch, by token": torch_by_token,
    "torch, sum": torch_sum,
    "ours": ours,
}


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Return bytes at the peak, seconds and the loss of one contestant, in this process."""
    generator = torch.Generator().manual_seed(0)
    states, weight = (
        (torch.randn(size, options.hidden, generator=generator) * 0.1).requires_grad_()
        for size in (options.tokens, options.vocabulary)
    )
    targets = torch.randint(options.vocabulary, (options.tokens,), generator=generator)
    before, seconds = peak_bytes(), []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        total = CONTESTANTS[options.contestant](states, weight, targets)
        torch.autograd.backward(total)
        seconds.append(time.perf_counter() - start)
        states.grad = weight.grad = None
    memory = peak_bytes() - before
    return {"memory": memory, "seconds": statistics.median(seconds), "loss": total.item() / options.tokens}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def table(options: argparse.Namespace) -> Iterator[str]:
    """Measure all contestants in turns; yield the lines of the table."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    arguments = [f"--{key}={getattr(options, key)}" for key in ("tokens", "vocabulary", "hidden")]
    for _ in range(options.rounds):
        for name in CONTESTANTS:
            command = [sys.executable, __file__, *arguments, "--contestant", name]
            finished = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=600)
            found[name].append(json.loads(finished.stdout))
    for name, runs in found.items():
        memory, seconds = (statistics.median(run[key] for run in runs) for key in ("memory", "seconds"))
        yield f"| {name} | {memory / 2**20:,.0f} | {seconds:.2f} | {runs[0]['loss']:.6f} |"


def main(arguments: Sequence[str]) -> None:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--hidden", type=int, default=576)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="file to write")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contestant:
        print(json.dumps(measure(options)))
        return
    lines = [
        "# Cross-entropy of next tokens",
        "",
        f"`python benchmarks/cross_entropy.py`, {date.today()}, {options.tokens:,} tokens, vocabulary of "
        f"{options.vocabulary:,}, {options.hidden} channels, float32, {torch.get_num_threads()} cores, "
        f"medians of {options.rounds} rounds, {platform.machine()}, torch {torch.__version__}.",
        "",
        "| | peak memory, MiB | seconds, forward and backward | loss |",
        "|---|--:|--:|--:|",
        *table(options),
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    errors.run(main)
