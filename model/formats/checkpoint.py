"""Read training checkpoints: find the latest published one and load its weights into a whole model.

:mod:`train.checkpoint` writes them and describes the layout.
"""

import warnings

from torch.distributed.checkpoint.state_dict_loader import load

from core import manifest, storage
from core.manifest import Manifest
from model.formats.dcp_storage import DcpReader
from model.transformer import Transformer

STAGE = "checkpoint"
LATEST = "latest"
"""File in the checkpoints' folder that names the last published one."""


def latest(folder: str) -> tuple[str, Manifest] | None:
    """The folder and manifest of the last published checkpoint, if there is one."""
    path = storage.join(folder, LATEST)
    if not storage.exists(path):
        return None
    place = storage.join(folder, storage.read_bytes(path).decode())
    return place, manifest.read(place, STAGE)


def restore_weights(place: str, found: Manifest, model: Transformer) -> None:
    """Load only the weights of a checkpoint, after comparing its files, into a model that is not sharded.

    Frozen weights stay as they are.
    """
    manifest.verify(place, found)
    parameters = {name: each.detach() for name, each in model.named_parameters() if each.requires_grad}
    state = {"model": parameters}
    with warnings.catch_warnings():
        # It is meant: one process, no group.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load(state, storage_reader=DcpReader(place), no_dist=True)
