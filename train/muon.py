"""Muon (Jordan et al. 2024): momentum whose matrices are orthogonalized, with AdamW for everything else.

The update of a hidden matrix is its Nesterov momentum with all singular values moved close to 1. It is
scaled to the root mean square that updates of AdamW typically have, .2, so that learning rate and weight
decay of AdamW serve both ("Muon is Scalable for LLM Training", Liu et al. 2025, arXiv:2502.16982).
``torch.optim.Muon`` scales alike, but multiplies shards of FSDP2 as DTensors, in which every process
orthogonalizes every matrix.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that each iteration applies to the singular values (Jordan et al. 2024)."""
ITERATIONS = 5
UPDATE_RMS = 0.2
"""Root mean square of the elements of an update, before the learning rate (Liu et al. 2025)."""


class Muon(torch.optim.AdamW):
    """Muon for groups of parameters with ``momentum``, which are matrices; fused AdamW for others.

    Matrices may be shards of FSDP2 along their rows. Each is then orthogonalized by one process, from the
    same elements as without sharding, so that equal gradients give equal updates at any number of processes.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have gradients; those of matrices become None."""
        for group in self.param_groups:
            if "momentum" in group:
                self._update_matrices(group)
        return super().step(closure)  # which passes over parameters without gradients

    def _update_matrices(self, group: dict[str, Any]) -> None:
        matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
        for batch, process_group in _batches(matrices):
            updates = [self._nesterov_momentum(matrix, group["momentum"]) for matrix in batch]
            shapes = [matrix.shape for matrix in batch]
            for matrix, update in zip(
                batch, _orthogonalize_shards(updates, shapes, process_group), strict=True
            ):
                rate = group["lr"] * UPDATE_RMS * math.sqrt(max(matrix.shape))
                _local(matrix).mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)
                matrix.grad = None

    def _nesterov_momentum(self, matrix: nn.Parameter, momentum: float) -> Tensor:
        """Update the momentum of a matrix; return this process's rows of its next update."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["step"] = torch.zeros((), device=matrix.device)  # which AdamW expects of all when it loads
            state["momentum"] = torch.zeros_like(matrix)
        state["step"] += 1
        gradient, average = _local(matrix.grad), _local(state["momentum"])
        average.lerp_(gradient, 1 - momentum)
        # CPUs multiply bfloat16 slowly.
        return gradient.lerp(average, momentum).to(torch.bfloat16 if gradient.is_cuda else torch.float32)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return a matrix with the singular vectors of ``matrix`` and singular values between about .7 and 1.2.

    Those far below the largest stay smaller. Computed in the dtype of ``matrix`` by Newton-Schulz iterations.
    """
    a, b, c = COEFFICIENTS
    x = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if matrix.shape[0] > matrix.shape[1] else x


def _batches(
    matrices: Sequence[nn.Parameter],
) -> Iterator[tuple[Sequence[nn.Parameter], dist.ProcessGroup | None]]:
    """Yield the matrices, as many at a time as processes share them, with the group of those processes.

    Those of a batch have similar sizes, so that all processes have similar work.
    """
    by_size = sorted(matrices, key=Tensor.numel)
    group = _sharding_group(by_size[0]) if by_size else None
    size = group.size() if group else 1
    for start in range(0, len(by_size), size):
        yield by_size[start : start + size], group


def _sharding_group(matrix: nn.Parameter) -> dist.ProcessGroup | None:
    """Return the processes that have other rows of ``matrix``; None for a single process."""
    if not isinstance(matrix, DTensor):
        return None
    dimension = matrix.placements.index(Shard(0))
    return matrix.device_mesh.get_group(dimension) if matrix.device_mesh.size(dimension) > 1 else None


def _orthogonalize_shards(
    shards: Sequence[Tensor], shapes: Sequence[torch.Size], group: dist.ProcessGroup | None
) -> Sequence[Tensor]:
    """Orthogonalize one matrix per process of ``group``; return this process's rows of each.

    ``shards``: this process's rows of at most as many matrices as there are processes, of these ``shapes``.
    """
    if not group:
        return [orthogonalize(shard) for shard in shards]
    rank, size = group.rank(), group.size()
    outgoing = [shard.numel() for shard in shards] + [0] * (size - len(shards))
    rows, columns = shapes[rank] if rank < len(shapes) else (0, 0)
    chunk = -(-rows // size)  # as FSDP2 divides the rows
    incoming = [columns * max(0, min(chunk, rows - start * chunk)) for start in range(size)]
    sent = torch.cat([shard.flatten() for shard in shards])
    whole = sent.new_empty(rows * columns)
    dist.all_to_all_single(whole, sent, incoming, outgoing, group=group)
    if rows:
        whole = orthogonalize(whole.view(rows, columns)).flatten()
    dist.all_to_all_single(sent, whole, outgoing, incoming, group=group)
    parts = torch.split(sent, outgoing)
    return [part.view_as(shard) for part, shard in zip(parts, shards, strict=False)]


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
