from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from tests.train.shard_maker import small_run
from train.parallel import World


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an output folder with tokenizer and shards, without training."""
    output = tmp_path_factory.mktemp("packed")
    small_run(str(output))
    return output


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Process group of this process only."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield World(0, 1, 0, 1, torch.device("cpu"), init_device_mesh("cpu", (1,), mesh_dim_names=("data",)))
    dist.destroy_process_group()
    torch.use_deterministic_algorithms(False)
