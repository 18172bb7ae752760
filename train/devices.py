"""Known kinds of GPUs: peak FLOP/s and memory, from ``devices.json``."""

import json
from importlib import resources
from typing import NamedTuple

import torch


class Gpu(NamedTuple):
    """A kind of GPU."""

    name: str
    flops: float
    """The vendor's dense bfloat16 FLOP/s."""
    memory: int
    """GiB."""


def known_gpus() -> list[Gpu]:
    """Return the known kinds of GPUs; a name that is the beginning of another one comes after it."""
    known = json.loads(resources.files("train").joinpath("devices.json").read_text())
    return [Gpu(name, **found) for name, found in known.items()]


def find_gpu(name: str) -> Gpu | None:
    """Return the known kind of GPU with whose name ``name``, as CUDA reports it, begins; None if unknown."""
    return next((gpu for gpu in known_gpus() if name.startswith(gpu.name)), None)


def peak_flops(device: torch.device) -> float | None:
    """Return the vendor's dense bfloat16 FLOP/s of a device; None if unknown."""
    gpu = find_gpu(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    return gpu.flops if gpu else None
