from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from core.config import EvalsConfig
from evals.context import EvalContext
from model import loading
from model.loading import LoadedModel
from tests.evals.texts import TEXTS
from tests.train.folder import Folder
from tests.train.shard_maker import make_run
from train.loop import train
from train.parallel import World


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained for a few steps."""
    packed = tmp_path_factory.mktemp("packed")
    make_run(str(packed), TEXTS, sequence_length=128)
    folder = Folder(tmp_path_factory.mktemp("trained"), packed)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    mesh = init_device_mesh("cpu", (1,), mesh_dim_names=("data",))
    train(folder.config("train.steps=4"), World(0, 1, 0, 1, torch.device("cpu"), mesh))
    dist.destroy_process_group()
    torch.use_deterministic_algorithms(False)
    return folder.output


@pytest.fixture(scope="session")
def loaded(trained: Path) -> LoadedModel:
    """The run's model, with unlimited context."""
    loaded = loading.load(str(trained))
    loaded.model.config = replace(loaded.model.config, context=0)
    return loaded


@pytest.fixture
def context(loaded: LoadedModel) -> EvalContext:
    return EvalContext(loaded, EvalsConfig(batch_size=3, batch_tokens=256, bootstrap=20))
