"""Write and restore checkpoints: trained weights and the state of the optimizer.

Each process writes its own part (torch.distributed.checkpoint)::

    checkpoints/step-00000100/__0_0.distcp …   one file per process
                              .metadata        location of each tensor in them
                              manifest.json    written last: sizes, hashes, and the facts of the run
    checkpoints/latest                         name of the last complete checkpoint, replaced atomically

Random generators are not saved, since every step seeds them. The facts are what the run must share to be
resumed, the hash and the edits of its order, and the number of tokens seen by source. Checkpoints newer than
``latest`` are incomplete and are removed at the next start.
"""

from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as save_sharded

from core import manifest, storage
from core.manifest import Manifest, Stage
from model.formats.checkpoint import LATEST, STAGE, find_latest
from model.formats.dcp_storage import DcpReader, DcpWriter
from model.transformer import Transformer
from train.parallel import World


def save(
    folder: str,
    step: int,
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    facts: dict[str, Any],
    fingerprint: str,
    world: World,
) -> None:
    """Write and publish the state after ``step``; called by all processes.

    ``facts`` and ``fingerprint`` are those of the run.
    """
    path = storage.join(folder, _name(step))
    world.broadcast_from_rank_zero(lambda: storage.remove(path))
    save_sharded(_state(model, optimizer), storage_writer=DcpWriter(path))
    names = [f"__{world.rank}_0.distcp", *([".metadata"] if world.is_rank_zero else [])]
    entries = [manifest.file_entry(path, name) for name in names if storage.exists(storage.join(path, name))]
    files = [entry for part in world.all_gather(entries) for entry in part]
    facts = {**facts, "world_size": world.size, "torch": torch.__version__}
    if world.is_rank_zero:
        Stage(STAGE, path, fingerprint).publish({"step": step}, files, facts)
        storage.write_atomic(storage.join(folder, LATEST), _name(step).encode())


def remove_old(folder: str, keep: int) -> None:
    """Remove all but the ``keep`` newest complete checkpoints."""
    if not storage.exists(folder):
        return
    fs, inner = storage.filesystem(folder)
    names = sorted(storage.name(path) for path in fs.ls(inner, detail=False))
    found = find_latest(folder)
    latest_name = storage.name(found[0]) if found else ""
    checkpoints = [name for name in names if name.startswith("step-")]
    kept = [name for name in checkpoints if name <= latest_name][-keep:]
    for name in checkpoints:
        if name not in kept:
            storage.remove(storage.join(folder, name))


def restore(
    path: str, found: Manifest, model: Transformer, optimizer: torch.optim.Optimizer, world: World
) -> int:
    """Load a checkpoint into a sharded model and its optimizer; return its step.

    The processes first verify the files against the manifest, each a part of them. Raises
    :class:`core.errors.ManifestError` for altered files.
    """
    for entry in found.files[world.rank :: world.size]:
        manifest.verify_file(path, entry)
    world.barrier()
    state = _state(model, optimizer)
    load(state, storage_reader=DcpReader(path))
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=StateDictOptions(ignore_frozen_params=True, strict=False),
    )
    return found.counts["step"]


def inherit(
    path: str, found: Manifest, model: Transformer, optimizer: torch.optim.Optimizer, world: World
) -> None:
    """Load a checkpoint of another run as :func:`restore`; the optimizer keeps its own settings."""
    settings = [
        {key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]
    restore(path, found, model, optimizer, world)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def _state(model: Transformer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    options = StateDictOptions(ignore_frozen_params=True)
    model_state, optimizer_state = get_state_dict(model, optimizer, options=options)
    return {"model": model_state, "optimizer": optimizer_state}


def _name(step: int) -> str:
    return f"step-{step:08}"
