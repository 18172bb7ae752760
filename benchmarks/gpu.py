"""The trainer and the model on one GPU, in at most eight minutes.

``python benchmarks/gpu.py`` needs nothing but the ``train`` extra; its data are random tokens in documents
with the lengths of web pages. It measures

- *correctness*: the losses of 20 steps on the GPU, in float32 and bfloat16, beside those on the CPU;
- *attention*: forward and backward through each way of attending, and how far it is from a mask in float32;
- *training*: tokens per second, model FLOPs utilization (MFU) and peak memory of our trainer, with and
  without ``torch.compile``, beside a plain loop: the same model and batches, logits of all tokens, causal
  attention across documents, autocast and AdamW, no sharding, no metrics, no determinism;
- *generation*: tokens per second of 1 and of 64 sequences.

Parts that would begin after ``--minutes`` are left out, and named. Prints the tables, and writes them to
``--output``. ``--device cpu --steps 2`` is a rehearsal with small models.
"""

import argparse
import gc
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from benchmarks.packed_run import read_batches, write_data
from core import config
from core.config import Config, TokenizerConfig
from core.shards import SplitName
from core.shards.packing import Document
from core.tokenizer import Tokenizer
from core.tokenizer import train as train_tokenizer
from model.attention import Kernel, MaskedAttention
from model.batching import Batcher
from model.document_attention import FlexDocumentAttention, VariableLengthAttention, document_mask
from model.generation import Sampling
from model.transformer import Transformer
from train import parallel, training_run
from train.devices import peak_flops
from train.loop import StepInput, Trainer
from train.optim import build_optimizer
from train.parallel import World, initialize
from train.training_run import TrainingRun

CHARACTERS = ((0x4E00, 0x9FA6), (0xAC00, 0xD7A4), (0x3400, 0x4DB6), (0x20000, 0x2A6D7))
"""Ranges of code points: a tokenizer of characters has a token for each."""
WARM_UP = 5
"""Steps that are not measured."""
GREEDY = Sampling(temperature=0.0)
PUBLISHED = (
    "nanoGPT's GPT-2 124M: 562 ms for 61,440 tokens of a GPU (8 A100, its issue 110), 30 % MFU; torchtitan's "
    "Llama 3.1 8B: 33 % on 8 H100, 39 % compiled."
)


@dataclass(frozen=True)
class Size:
    """A model and its batches."""

    name: str
    vocabulary: int
    length: int
    model: str
    """Settings of ``[model]``."""
    rows: int
    """Rows of a step, all of which are in one micro-batch."""


SIZES = {
    "tiny": Size(
        "tiny",
        1024,
        128,
        "num_layers=2\nhidden_size=64\nnum_heads=4\nnum_kv_heads=2\nintermediate_size=192",
        4,
    ),
    "135m": Size(
        "135m",
        49_152,
        2048,
        "num_layers=30\nhidden_size=576\nnum_heads=9\nnum_kv_heads=3\nintermediate_size=1536",
        16,
    ),
    "1b": Size(
        "1b",
        65_536,
        2048,
        "num_layers=16\nhidden_size=2048\nnum_heads=32\nnum_kv_heads=8\nintermediate_size=8192",
        8,
    ),
}


class MeasuredTrainer(Trainer):
    """A trainer that records when each step begins, and writes no checkpoint."""

    starts: ClassVar[list[float]] = []

    def _train_step(self, inputs: Iterator[StepInput]) -> dict[str, Any]:
        self.starts.append(time.perf_counter())
        return super()._train_step(inputs)

    def _save_checkpoint(self, *_: object) -> None:
        pass


def make_tokenizer(vocabulary: int) -> Tokenizer:
    """Return a tokenizer of exactly ``vocabulary`` tokens."""
    points = [point for first, last in CHARACTERS for point in range(first, last)]
    text = "".join(map(chr, points[: vocabulary - 8 - 256]))  # besides reserved tokens and bytes
    texts = [text[start : start + 1000] for start in range(0, len(text), 1000)]
    return train_tokenizer(texts, TokenizerConfig(kind="char", vocabulary_size=vocabulary))


def write_run(folder: Path, size: Size, steps: int) -> Config:
    """Write tokenizer and shards of random tokens; return the configuration of a run on them.

    Documents have the lengths of web pages: log-normal, with a median of 500 tokens.
    """
    tokenizer = make_tokenizer(size.vocabulary)
    random = np.random.default_rng(0)
    splits: dict[SplitName, int] = {"train": (steps + 1) * size.rows, "validation": 1}
    parts: dict[SplitName, list[Document]] = {}
    for split, rows in splits.items():
        documents, left = parts.setdefault(split, []), rows * size.length
        while left > 0:
            length = int(np.clip(random.lognormal(np.log(500), 1.2), 20, 8 * size.length))
            documents.append(
                Document(random.bytes(16), random.integers(8, size.vocabulary, length, np.uint32))
            )
            left -= length
    write_data(folder, tokenizer, size.length, parts)
    path = folder / "config.toml"
    path.write_text(
        f'[output]\npath = "{folder}"\n[model]\n{size.model}\n[train]\nsteps = {steps}\n'
        f"batch_size = {size.rows}\nmicro_batch_size = {size.rows}\nvalidate_every = 1000000\n"
        "validation_sequences = 1\n"
    )
    return config.load(str(path))


def prepare(settings: Config) -> TrainingRun:
    return training_run.prepare(settings, training_run.open_shards(settings), ())


def run_trainer(settings: Config, world: World) -> tuple[list[float], list[float]]:
    """Train; return the losses of all steps and the seconds of each but the last."""
    parallel.enable_determinism()
    run = replace(prepare(settings), folder=tempfile.mkdtemp(dir=settings.output.path))
    MeasuredTrainer.starts.clear()
    losses: list[float] = []

    class Recorder(MeasuredTrainer):
        def _train_step(self, inputs: Iterator[StepInput]) -> dict[str, Any]:
            values = super()._train_step(inputs)
            losses.append(values["train/loss"])
            return values

    Recorder(run, world).train()
    return losses, [after - before for before, after in pairwise(MeasuredTrainer.starts)]


def run_plain(settings: Config, world: World) -> list[float]:
    """Train by a plain loop; return the seconds of each step but the last."""
    torch.use_deterministic_algorithms(False)
    run = prepare(settings)
    batches = [[part.to(world.device) for part in parts[0]] for parts in read_batches(run, world)]
    with torch.device(world.device):
        model = Transformer(run.model_config)
    initialize(model, run.initial_weight)
    optimizer = build_optimizer(model, run.config)
    if run.config.compile:
        model.compile()
    starts = []
    for inputs, _, targets in batches:
        starts.append(time.perf_counter())
        with torch.autocast(world.device.type, torch.bfloat16, enabled=world.device.type == "cuda"):
            logits = model(inputs)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), run.config.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
    return [after - before for before, after in pairwise(starts)]


def correctness(world: World, steps: int) -> Iterator[str]:
    """Yield the lines of the table of losses by device and precision."""
    with tempfile.TemporaryDirectory() as temporary:
        settings = write_run(Path(temporary), SIZES["tiny"], steps)
        cpu = replace(world, device=torch.device("cpu"), mesh=init_device_mesh("cpu", (1,)))
        expected, _ = run_trainer(settings, cpu)
        yield f"| CPU, float32 | {expected[0]:.6f} | {expected[-1]:.6f} | |"
        precisions = ("float32", "bfloat16") if world.device.type == "cuda" else ("bfloat16",)
        for precision in precisions:
            train = settings.train.model_copy(update={"precision": precision})
            losses, _ = run_trainer(settings.model_copy(update={"train": train}), world)
            apart = max(abs(one / other - 1) for one, other in zip(losses, expected, strict=True))
            yield f"| {world.device.type}, {precision} | {losses[0]:.6f} | {losses[-1]:.6f} | {apart:.1e} |"


def attention(world: World, repetitions: int) -> Iterator[str]:
    """Yield the lines of the table of attention: milliseconds and largest difference."""
    on_gpu = world.device.type == "cuda"
    rows, length, dtype = (8, 2048, torch.bfloat16) if on_gpu else (2, 128, torch.float32)
    generator = torch.Generator().manual_seed(0)
    shapes = ((rows, heads, length, 64) for heads in (32, 8, 8))
    inputs = [torch.randn(shape, generator=generator).to(world.device, dtype) for shape in shapes]
    cuts = torch.randint(500, (rows, length), generator=generator) == 0
    document_ids = cuts.cumsum(dim=1).int().to(world.device)
    mask = document_mask(document_ids)
    kernels: dict[str, Kernel] = {"mask of all pairs": MaskedAttention(mask)}
    if on_gpu:
        kernels["FlashAttention, variable lengths"] = VariableLengthAttention(document_ids)
        kernels["FlexAttention"] = FlexDocumentAttention(document_ids)
    exact = attend(MaskedAttention(mask), [part.float() for part in inputs])
    for name, kernel in kernels.items():
        results = attend(kernel, inputs)
        apart = [float((one.float() - two).abs().max()) for one, two in zip(results, exact, strict=True)]
        elapsed = median_seconds(partial(attend, kernel, inputs), repetitions, world)
        yield f"| {name} | {1000 * elapsed:.2f} | {apart[0]:.1e} | {max(apart[1:]):.1e} |"
    causal = median_seconds(lambda: attend(MaskedAttention(None), inputs), repetitions, world)
    yield f"| causal, across documents | {1000 * causal:.2f} | | |"


def attend(kernel: Kernel, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the attended values and the gradients of query, key and value."""
    leaves = [part.detach().requires_grad_() for part in inputs]
    attended = kernel(*leaves, dropout=0.0, scale=0.125, softcap=0.0)
    return [attended.detach(), *torch.autograd.grad(attended.float().square().sum(), leaves)]


def median_seconds(function: Callable[[], object], repetitions: int, world: World) -> float:
    """Return the median time of a call, after one that is not counted."""
    seconds = []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        function()
        if world.device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def training(world: World, size: Size, steps: int, *, compiled: bool) -> Iterator[str]:
    """Yield the lines of the table of training for one size."""
    with tempfile.TemporaryDirectory() as temporary:
        settings = write_run(Path(temporary), size, steps + WARM_UP)
        train = settings.train.model_copy(update={"compile": compiled})
        settings = settings.model_copy(update={"train": train})
        shape = prepare(settings).model_config
        contestants: dict[str, Callable[[], list[float]]] = {
            "ours": lambda: run_trainer(settings, world)[1],
            "plain": lambda: run_plain(settings, world),
        }
        for name, measure in contestants.items():
            free(world)
            seconds = statistics.median(measure()[WARM_UP:] or [float("nan")])
            rate = size.rows * size.length / seconds
            peak = peak_flops(world.device)
            utilization = f"{rate * shape.training_flops(size.length) / peak:.1%}" if peak else "unknown"
            memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f}" if peak else "unknown"
            model = f"{size.name}, {shape.num_parameters / 1e6:,.1f} M"
            yield (
                f"| {model} | {'yes' if compiled else 'no'} | {name} | {rate:,.0f} "
                f"| {utilization} | {memory} |"
            )


@torch.inference_mode()
def generation(world: World, size: Size, tokens: int) -> Iterator[str]:
    """Yield the lines of the table of generation: greedy, after prompts of 128 tokens."""
    with tempfile.TemporaryDirectory() as temporary:
        run = prepare(write_run(Path(temporary), size, 1))
    dtype = torch.bfloat16 if world.device.type == "cuda" else torch.float32
    with torch.device(world.device):
        model = Transformer(run.model_config).to(dtype).eval()
    initialize(model, run.initial_weight)
    random = np.random.default_rng(0)
    for number in (1, 64):
        batcher = Batcher(model, number, 128 + tokens)
        rates = []
        for _ in range(2):  # the first time is not counted
            for _ in range(number):
                batcher.add(random.integers(8, size.vocabulary, 128).tolist(), tokens, GREEDY, frozenset())
            start, found = time.perf_counter(), 0
            while batcher.num_running:
                found += len(batcher.step())
            rates.append(found / (time.perf_counter() - start))
        yield f"| {size.name} | {number} | {rates[-1]:,.0f} |"


def free(world: World) -> None:
    """Release what the last measurement left."""
    gc.collect()
    torch.compiler.reset()
    if world.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def measure(options: argparse.Namespace, world: World) -> None:
    """Measure all parts in order, and write the tables."""
    on_gpu = world.device.type == "cuda"
    sizes = [SIZES[name] for name in (options.sizes or (("135m", "1b") if on_gpu else ("tiny",)))]
    steps = options.steps
    trained = [
        (f"training {size.name}{', compiled' if compiled else ''}", size, compiled)
        for size in sizes
        for compiled in ((False, True) if on_gpu else (False,))
    ]
    parts: list[tuple[str, str, Callable[[], Iterator[str]]]] = [
        ("correctness", "first loss | last loss | largest difference", lambda: correctness(world, steps)),
        ("attention", "ms | values | gradients", lambda: attention(world, steps)),
        *(
            (
                name,
                "compiled | | tokens/s | MFU | peak memory, GiB",
                partial(training, world, size, steps, compiled=compiled),
            )
            for name, size, compiled in trained
        ),
        ("generation", "sequences | tokens/s", lambda: generation(world, sizes[0], max(steps, 8))),
    ]
    started = time.monotonic()
    device = torch.cuda.get_device_name() if on_gpu else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        "# The trainer and the model on a GPU",
        "",
        f"`python benchmarks/gpu.py --steps {steps}`, {date.today()}, {device}, Python "
        f"{platform.python_version()}, torch {torch.__version__}. Medians of the steps. Published elsewhere: "
        f"{PUBLISHED}",
    ]
    for name, columns, measure_part in parts:
        lines += ["", f"## {name.capitalize()}", ""]
        if time.monotonic() - started > 60 * options.minutes:
            lines.append(f"Not measured: {options.minutes:g} minutes were over.")
            continue
        print(name, file=sys.stderr, flush=True)
        lines += [f"| | {columns} |", "|---|" + "--:|" * columns.count("|") + "--:|", *measure_part()]
    lines += ["", f"All of it took {time.monotonic() - started:.0f} seconds."]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)


def main() -> None:
    """Parse the command line, and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--steps", type=int, default=20, help="measured steps")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, help="models (135m 1b; on a CPU tiny)")
    parser.add_argument("--minutes", type=float, default=7.0, help="begin nothing new after this time")
    parser.add_argument("--output", type=Path, help="file to write")

    def parse() -> argparse.Namespace:
        options = parser.parse_args()
        if options.device == "cuda" and not torch.cuda.is_available():
            parser.error("no CUDA device; rehearse with --device cpu --steps 2")
        return options

    def work(options: argparse.Namespace, world: World) -> None:
        if options.device == "cpu":
            world = replace(world, device=torch.device("cpu"), mesh=init_device_mesh("cpu", (1,)))
        measure(options, world)

    parallel.run(parse, work)


if __name__ == "__main__":
    main()
