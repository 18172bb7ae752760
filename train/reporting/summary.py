"""Summary of a run at its start: parameters, tokens, epochs over the data, memory and expected time."""

import json
from collections.abc import Iterator

import torch

from core import storage
from core.messages import duration
from model.transformer import Transformer
from train import estimate, training_run
from train.devices import find_gpu
from train.estimate import GIB, MFU, Plan
from train.parallel import World
from train.training_run import TrainingRun

FILE = "summary.json"
EMPTY = {"name": "", "stage": "train", "steps": 0, "summary": (), "config": {}}
"""Content for a run that has no such file, of an earlier version."""
MAX_SOURCES = 12
"""Sources that are listed; of more, those with the most rows drawn."""
Line = tuple[str, str]
"""Label and text."""


def announce(run: TrainingRun, world: World) -> None:
    """Print the summary and write it to ``summary.json``, with the configuration, for the page."""
    lines = list(summarize(run, world))
    for label, text in lines:
        print(f"{run.stage}: {label:10} {text}", flush=True)
    content = {
        "name": run.name,
        "stage": run.stage,
        "steps": run.config.steps,
        "summary": lines,
        "config": run.manifest_config,
    }
    data = json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
    storage.write_atomic(storage.join(run.folder, FILE), data)


def summarize(run: TrainingRun, world: World) -> Iterator[Line]:
    """Yield the lines of the summary."""
    precision = training_run.resolve_precision(run.config, world.device)
    total, trained = _count_parameters(run)
    plan = Plan(
        run.model_config,
        run.config,
        run.dataset.sequence_length,
        world.size,
        2 if precision == "bfloat16" else 4,
        adapter_parameters=trained if trained < total else 0,
    )
    of_adapters = f", of which {trained:,} are trained" if plan.adapter_parameters else ""
    yield "model", f"{total:,} parameters{of_adapters}"
    yield (
        "data",
        f"{plan.steps_and_sizes}: {plan.tokens:,}, {plan.tokens / total:,.1f} per parameter",
    )
    yield from (("epochs", text) for text in _epochs(run))
    is_cuda = world.device.type == "cuda"
    device = torch.cuda.get_device_name(world.device) if is_cuda else "CPU"
    processes = "process" if world.size == 1 else "processes"
    yield "processes", f"{world.size} {processes} on {device}, {precision}"
    gpu = find_gpu(device) if is_cuda else None
    available = f"of {gpu.memory} " if gpu else ""
    needed = sum(estimate.memory(plan).values()) / GIB
    yield "memory", f"about {needed:,.3g} {available}GiB for the tensors of each process"
    if gpu:
        expected = duration(estimate.seconds(plan, gpu, MFU))
        yield "time", f"about {expected} on {world.size} × {gpu.name} at {MFU:.0%} of its peak"


def _count_parameters(run: TrainingRun) -> tuple[int, int]:
    """Return the number of all parameters, and of those that are trained."""
    with torch.device("meta"):
        model = Transformer(run.model_config)
        run.adapt(model)
    parameters = list(model.parameters())
    trained = sum(each.numel() for each in parameters if each.requires_grad)
    return sum(each.numel() for each in parameters), trained


def _epochs(run: TrainingRun) -> Iterator[str]:
    """Yield how often each source is passed over, those with the most rows drawn first."""
    draws = run.stream.draws(run.batch_sizes.first_position(run.config.steps + 1))
    by_count = sorted(draws.items(), key=lambda item: -item[1])
    for source, drawn in by_count[:MAX_SOURCES]:
        available = run.dataset.num_rows("train", source)
        yield f"{drawn / available:.2f} of {source}: {drawn:,} rows drawn, {available:,} available"
    if len(by_count) > MAX_SOURCES:
        yield f"{len(by_count) - MAX_SOURCES} more sources, with fewer rows drawn"
