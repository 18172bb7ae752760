"""Many processes as one: joining, splitting the model among them, leaving.

CUDA with NCCL, or CPUs with gloo, by the same code. ``torchrun`` starts the processes; without it, one
process trains alone.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor

from core.errors import GristmillError
from model.config import TransformerConfig
from model.transformer import Transformer, initial_weight

T = TypeVar("T")
FAILED = "gristmill/failed"
"""Key of the processes' common store: how many of them have failed."""
ALONE = "tcp://127.0.0.1:0?rank=0&world_size=1"
"""Where a process that ``torchrun`` did not start meets itself."""


@dataclass(frozen=True, slots=True)
class World:
    """This process among the others."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    device: torch.device
    mesh: DeviceMesh

    @property
    def leads(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def wait(self) -> None:
        """Until every process has come here."""
        dist.barrier()

    def sum(self, values: list[float]) -> list[float]:
        """Sums over all processes, in float64."""
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]

    def sum_integers(self, values: list[int]) -> list[int]:
        """Sums over all processes of 64-bit integers, modulo 2^64, from -2^63 to 2^63-1."""
        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor)
        return [int(value) for value in tensor]

    def from_leader(self, ask: Callable[[], T]) -> T:
        """What ``ask`` returns in the leading process (it is not called in the others)."""
        answer: list[T | None] = [ask() if self.leads else None]
        dist.broadcast_object_list(answer, src=0)
        return answer[0]  # type: ignore[return-value]  # the leader's T has replaced the None

    def gather(self, value: T) -> list[T]:
        """Every process's value, by rank, in every process."""
        gathered: list[T | None] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered  # type: ignore[return-value]  # every None has been replaced


def run(parse: Callable[[], T | None], work: Callable[[T, World], None]) -> NoReturn:
    """A whole program: read the command line, join, work, leave the process.

    An error of ours is one line on stderr and exit code 1, whichever process meets it and however many do.
    ``parse`` returns None if there is nothing to do.
    """
    rank = int(os.environ.get("RANK", "0"))
    try:
        with _only_leader_speaks(rank):
            task = parse()
    except GristmillError as error:
        _leave(1, f"error: {error}" if rank == 0 else "")
    if task is None:
        _leave(0)
    world, failures = _join()
    try:
        work(task, world)
        dist.barrier()
    except GristmillError as error:
        _leave(1, f"error: {error}" if failures(1) == 1 else "")
    except RuntimeError:
        # A collective breaks when another process has left. That one has said why; add nothing.
        if failures(0):
            _leave(1)
        raise
    dist.destroy_process_group()
    _leave(0)


@contextmanager
def _only_leader_speaks(rank: int) -> Iterator[None]:
    """What every process would print alike, the usage or a configuration, is printed once."""
    with Path(os.devnull).open("w") as nowhere:
        out, err = (sys.stdout, sys.stderr) if rank == 0 else (nowhere, nowhere)
        with redirect_stdout(out), redirect_stderr(err):
            yield


def _join() -> tuple[World, Callable[[int], int]]:
    """Meet the other processes; also a function that adds to the number of those that failed and tells it.

    CPU work gets an equal share of the host's cores, always the same one, so that results repeat.
    """
    store, rank, size = next(rendezvous("env://" if "RANK" in os.environ else ALONE))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        device, backend = torch.device("cuda", local_rank), "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(device)
    else:
        device, backend = torch.device("cpu"), "gloo"
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // local_size))
    dist.init_process_group(backend, store=store, rank=rank, world_size=size)
    mesh = init_device_mesh(device.type, (size,), mesh_dim_names=("data",))
    world = World(rank, size, local_rank, local_size, device, mesh)
    return world, lambda more: int(store.add(FAILED, more))


def _leave(code: int, message: str = "") -> NoReturn:
    """End the process without the interpreter's teardown, in which gloo's threads sometimes crash."""
    if message:
        print(message, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def make_repeatable() -> None:
    """Only algorithms whose results repeat bit for bit. Call before anything is computed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    # Not needed for that, and dear.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set at run time


def shard(
    config: TransformerConfig,
    world: World,
    precision: Literal["float32", "bfloat16"],
    *,
    adapt: Callable[[Transformer], None] = lambda _: None,
    compile_blocks: bool = False,
    recompute: bool = False,
) -> Transformer:
    """A model of which each process holds its part (FSDP2), block by block; the weights are not yet set.

    ``adapt`` may change its layers first.

    With bfloat16, weights and activations are cast for computing; the weights themselves, the sums of their
    gradients and the optimizer stay in float32.
    """
    with torch.device("meta"):
        model = Transformer(config)
        adapt(model)
    low = precision == "bfloat16"
    policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32) if low else MixedPrecisionPolicy()
    model.activation_checkpointing = recompute
    for block in model.blocks:
        if compile_blocks:
            block.compile()
        fully_shard(block, mesh=world.mesh, mp_policy=policy)
    fully_shard(model, mesh=world.mesh, mp_policy=policy)
    return model.to_empty(device=world.device)


def fresh_weights(config: TransformerConfig, seed: int) -> Callable[[str, torch.Size], Tensor]:
    """A new model's parameters, the same for any number of processes."""
    return lambda name, shape: initial_weight(config, name, shape, random_stream(seed, name))


def random_stream(seed: int, name: str) -> torch.Generator:
    """The random numbers of one parameter and no other."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


@torch.no_grad()
def fill(model: Transformer, weights: Callable[[str, torch.Size], Tensor]) -> None:
    """Set every parameter to the value, float32 on the CPU, that ``weights`` gives its name and shape."""
    for name, parameter in model.named_parameters():
        value = weights(name, parameter.shape).to(parameter.device)
        if isinstance(parameter, DTensor):
            # Every process made the whole value: it keeps its part, nothing is sent.
            value = distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
        parameter.copy_(value)
