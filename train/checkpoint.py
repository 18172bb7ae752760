"""Checkpoints: the weights in training, optimizer and random states; each process writes its own part.

One folder per checkpoint::

    checkpoints/step-00000100/__0_0.distcp …   the parts (torch.distributed.checkpoint)
                              .metadata        where in them each tensor lies
                              manifest.json    written last: sizes, hashes, and what the checkpoint belongs to
    checkpoints/latest                         the name of the one to trust, replaced atomically

What ``latest`` does not name and is newer was cut short, and is removed at the next start.
"""

from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as save_parts

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
    pins: dict[str, Any],
    fingerprint: str,
    world: World,
) -> None:
    """Write and publish the state after ``step``; all processes together.

    ``pins`` and ``fingerprint`` say what it belongs to.
    """
    place = storage.join(folder, _name(step))
    world.from_leader(lambda: storage.remove(place))
    save_parts({**_state(model, optimizer), **_random_states(world)}, storage_writer=DcpWriter(place))
    names = [f"__{world.rank}_0.distcp", *([".metadata"] if world.leads else [])]
    entries = [
        manifest.file_entry(place, name) for name in names if storage.exists(storage.join(place, name))
    ]
    files = [entry for part in world.gather(entries) for entry in part]
    facts = {**pins, "world_size": world.size, "torch": torch.__version__}
    if world.leads:
        Stage(STAGE, place, fingerprint).publish({"step": step}, files, facts)
        storage.write_atomic(storage.join(folder, LATEST), _name(step).encode())


def remove_others(folder: str, keep: int) -> None:
    """Remove all but the ``keep`` newest published checkpoints, and whatever was cut short after them."""
    if not storage.exists(folder):
        return
    fs, inner = storage.filesystem(folder)
    names = sorted(storage.name(path) for path in fs.ls(inner, detail=False))
    found = find_latest(folder)
    last = storage.name(found[0]) if found else ""
    steps = [name for name in names if name.startswith("step-")]
    kept = [name for name in steps if name <= last][-keep:]
    for name in steps:
        if name not in kept:
            storage.remove(storage.join(folder, name))


def restore(
    place: str, found: Manifest, model: Transformer, optimizer: torch.optim.Optimizer, world: World
) -> int:
    """Load a checkpoint into a sharded model and its optimizer; the step it was made after.

    Every file is compared with the manifest first, shared among the processes. Raises :class:`ManifestError`.
    """
    for entry in found.files[world.rank :: world.size]:
        manifest.verify_file(place, entry)
    world.wait()
    state = _state(model, optimizer)
    same_world = found.facts["world_size"] == world.size
    if same_world:
        state |= _random_states(world)
    load(state, storage_reader=DcpReader(place))
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
        options=StateDictOptions(ignore_frozen_params=True, strict=False),
    )
    if same_world:
        _set_random_states(state, world)
    return found.counts["step"]


def _state(model: Transformer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, optimizer, options=StateDictOptions(ignore_frozen_params=True))
    return {"model": weights, "optimizer": moments}


def _random_states(world: World) -> dict[str, Any]:
    """The state of each random generator of this process."""
    states = {f"random.{world.rank}.cpu": torch.get_rng_state()}
    if world.device.type == "cuda":
        states[f"random.{world.rank}.cuda"] = torch.cuda.get_rng_state(world.device)
    return states


def _set_random_states(state: dict[str, Any], world: World) -> None:
    torch.set_rng_state(state[f"random.{world.rank}.cpu"])
    if world.device.type == "cuda":
        torch.cuda.set_rng_state(state[f"random.{world.rank}.cuda"], world.device)


def _name(step: int) -> str:
    return f"step-{step:08}"
