"""Read training checkpoints: find the latest one, and load its weights into an unsharded model.

:mod:`train.checkpoint` writes them and describes the layout.
"""

import warnings
from contextlib import suppress

from torch.distributed.checkpoint.state_dict_loader import load

from core import manifest, storage
from core.errors import ManifestError
from core.manifest import Manifest
from core.storage import locks
from model.formats.dcp_storage import DcpReader
from model.transformer import Transformer

STAGE = "checkpoint"
LATEST = "latest"
"""File in the checkpoints folder that names the last published checkpoint."""


def find_latest(folder: str) -> tuple[str, Manifest] | None:
    """Return the path and manifest of the last published checkpoint in ``folder``, if there is one.

    Without :data:`LATEST`, which may have been lost, it is the last one whose manifest is complete.
    """
    pointer = storage.join(folder, LATEST)
    if storage.exists(pointer):
        path = storage.join(folder, storage.read_bytes(pointer).decode())
        return path, manifest.read(path, STAGE)
    for name in reversed(checkpoint_names(folder)):
        with suppress(ManifestError):
            path = storage.join(folder, name)
            return path, manifest.read(path, STAGE)
    return None


def checkpoint_names(folder: str) -> list[str]:
    """Return the names of all checkpoints in ``folder``, complete or not, in the order of their steps."""
    return sorted(name for name in locks.contents(folder) if name.startswith("step-"))


def find_all(folder: str) -> dict[int, str]:
    """Return the paths of the published checkpoints in ``folder`` that are kept, by step, in order."""
    if not (latest := find_latest(folder)):
        return {}
    kept = [name for name in checkpoint_names(folder) if name <= storage.name(latest[0])]
    return {int(name.removeprefix("step-")): storage.join(folder, name) for name in kept}


def load_weights(path: str, found: Manifest, model: Transformer) -> None:
    """Verify a checkpoint and load its weights into an unsharded model.

    Frozen parameters are left unchanged. Raises :class:`core.errors.ManifestError` if a file was altered.
    """
    manifest.verify(path, found)
    parameters = {
        name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    with warnings.catch_warnings():
        # Intended: a single process without a process group.
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        load({"model": parameters}, storage_reader=DcpReader(path), no_dist=True)
