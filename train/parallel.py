"""Distributed processes: start-up, collectives, the sharded model, and exit.

The same code runs on CUDA with NCCL and on CPUs with gloo. ``torchrun`` starts the processes; without it, a
single process trains.
"""

import hashlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor

from core import errors
from core.errors import GristmillError
from model.config import TransformerConfig
from model.recomputation import ActivationCheckpointing
from model.transformer import Transformer, initial_weight
from train import failure

T = TypeVar("T")
FAILURES_KEY = "gristmill/failed"
"""Key in the rendezvous store: number of processes that have failed."""
SINGLE_PROCESS_URL = "tcp://127.0.0.1:0?rank=0&world_size=1"
"""Rendezvous of a process that ``torchrun`` did not start."""


@dataclass(frozen=True, slots=True)
class World:
    """Rank of this process, device and collectives."""

    rank: int
    size: int
    local_rank: int
    local_size: int
    device: torch.device
    mesh: DeviceMesh

    @property
    def is_rank_zero(self) -> bool:
        """True if this process prints and writes for all."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until all processes have reached this call."""
        dist.barrier()

    def sum(self, values: list[float]) -> list[float]:
        """Return the sums over all processes, computed in float64."""
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor)
        return [float(value) for value in tensor]

    def sum_integers(self, values: list[int]) -> list[int]:
        """Return the sums over all processes as signed 64-bit integers, modulo 2^64."""
        tensor = torch.tensor(values, dtype=torch.int64)
        dist.all_reduce(tensor)
        return [int(value) for value in tensor]

    def broadcast_from_rank_zero(self, function: Callable[[], T]) -> T:
        """Call ``function`` on rank 0 only, and return its result on all ranks."""
        result: list[T | None] = [function() if self.is_rank_zero else None]
        dist.broadcast_object_list(result, src=0)
        return result[0]  # type: ignore[return-value]  # rank 0's T has replaced the None

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        gathered: list[T | None] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered  # type: ignore[return-value]  # every None has been replaced


def run(parse: Callable[[], T | None], work: Callable[[T, World], None]) -> NoReturn:
    """Run a distributed program: parse the command line, join the process group, work, exit.

    ``parse`` returns None if there is nothing to do. An error of ours is printed as one line on stderr, with
    exit code 1, no matter how many processes raise it. Failures of the machine are reported likewise; an
    interrupt exits with 130.
    """
    rank = int(os.environ.get("RANK", "0"))
    errors.open_closed_streams()
    sys.stdout = failure.TolerantOutput(sys.stdout)
    try:
        with _silence_other_ranks(rank), errors.machine_failures():
            task = parse()
    except GristmillError as error:
        _fail(error if rank == 0 else None)
    except KeyboardInterrupt:
        _interrupted(rank)
    if task is None:
        _exit(0)
    world, add_failures = _init_process_group()
    try:
        with errors.machine_failures():
            work(task, world)
        dist.barrier()
    except GristmillError as error:
        _fail(error if add_failures(1) == 1 else None)
    except RuntimeError:
        # Collectives fail after another process has exited, which has reported its error.
        if add_failures(0):
            _fail(None)
        _crash(add_failures)
    except KeyboardInterrupt:
        _interrupted(rank)
    except Exception:
        _crash(add_failures)
    dist.destroy_process_group()
    _exit(0)


@contextmanager
def _silence_other_ranks(rank: int) -> Iterator[None]:
    """Discard the output of all ranks but 0, so that usage and configuration are printed once."""
    with Path(os.devnull).open("w") as devnull:
        out, err = (sys.stdout, sys.stderr) if rank == 0 else (devnull, devnull)
        with redirect_stdout(out), redirect_stderr(err):
            yield


def _init_process_group() -> tuple[World, Callable[[int], int]]:
    """Join the process group; return it with a function that adds to the count of failed processes.

    That function returns the new count. On CPUs each process uses an equal share of the host's cores, so
    that results are reproducible.
    """
    store, rank, size = next(rendezvous("env://" if "RANK" in os.environ else SINGLE_PROCESS_URL))
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
    return world, lambda count: int(store.add(FAILURES_KEY, count))


def _fail(error: GristmillError | None) -> NoReturn:
    """Exit after an error, which is None if another process has reported it."""
    _exit(failure.report(f"error: {error}") if error else failure.stopped())


def _crash(add_failures: Callable[[int], int]) -> NoReturn:
    """Exit after an unexpected error, with its traceback.

    Leaving Python as usual would wait for threads, and those for other processes.
    """
    traceback.print_exc()
    with suppress(RuntimeError):  # the store may be gone
        add_failures(1)
    _exit(1)


def _interrupted(rank: int) -> NoReturn:
    if rank == 0:
        print("interrupted", file=sys.stderr)
    _exit(130)


def _exit(code: int) -> NoReturn:
    """Exit without interpreter teardown, in which gloo's threads sometimes crash."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def enable_determinism() -> None:
    """Use only algorithms with bitwise reproducible results. Call before any computation."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required for a deterministic cuBLAS
    torch.use_deterministic_algorithms(True)
    # Not required for determinism, and slow.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set at run time


def build_sharded_model(
    config: TransformerConfig,
    world: World,
    precision: Literal["float32", "bfloat16"],
    *,
    adapt: Callable[[Transformer], None] = lambda _: None,
    compile_blocks: bool = False,
    activation_checkpointing: ActivationCheckpointing = "none",
    shard_processes: int = 0,
) -> Transformer:
    """Return an uninitialized model, sharded block by block (FSDP2).

    Shards are divided among all processes, or replicated between groups of ``shard_processes`` (HSDP).
    ``adapt`` may replace or freeze layers before sharding. With bfloat16, weights and activations are cast
    for computation; master weights, gradient reduction and optimizer state stay in float32.
    """
    with torch.device("meta"):
        model = Transformer(config)
        adapt(model)
    policy = MixedPrecisionPolicy()
    if precision == "bfloat16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model.activation_checkpointing = activation_checkpointing
    mesh = world.mesh
    if 0 < shard_processes < world.size:
        shape = (world.size // shard_processes, shard_processes)
        mesh = init_device_mesh(world.device.type, shape, mesh_dim_names=("replicate", "shard"))
    for block in model.blocks:
        if compile_blocks:
            block.compile()
        fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=mesh.size(-1) > 1)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    register_fsdp_forward_method(model, "losses")
    return model.to_empty(device=world.device)


def reduce_after_backward(model: Transformer, is_last: bool) -> None:
    """Reduce gradients and free gathered weights only after the last backward pass of a step.

    For models of which each process holds all: gathered weights and gradients are then copies as large as
    what they are made from, and one copy a step is enough. With shards, each block frees them at once.
    """
    sharded = cast(FSDPModule, model)
    sharded.set_requires_gradient_sync(is_last)
    sharded.set_reshard_after_backward(is_last)


def seeded_initial_weight(config: TransformerConfig, seed: int) -> Callable[[str, torch.Size], Tensor]:
    """Return a function from parameter name and shape to initial value, independent of the world size."""
    return lambda name, shape: initial_weight(config, name, shape, parameter_generator(seed, name))


def parameter_generator(seed: int, name: str) -> torch.Generator:
    """Return a random generator of its own for each parameter name."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


@torch.no_grad()
def initialize(model: Transformer, initial_value: Callable[[str, torch.Size], Tensor]) -> None:
    """Set each parameter to ``initial_value(name, shape)``, float32 on the CPU."""
    for name, parameter in model.named_parameters():
        value = initial_value(name, parameter.shape).to(parameter.device)
        if isinstance(parameter, DTensor):
            # All processes computed the full value: each keeps its shard, without communication.
            value = distribute_tensor(value, parameter.device_mesh, parameter.placements, src_data_rank=None)
        parameter.copy_(value)
