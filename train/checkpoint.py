"""Write and restore checkpoints: trained weights and the state of the optimizer.

Each process writes its own part (torch.distributed.checkpoint)::

    checkpoints/step-00000100/__0_0.distcp …   one file per process
                              .metadata        location of each tensor in them
                              manifest.json    written last: sizes, hashes, and the facts of the run
    checkpoints/latest                         name of the last complete checkpoint, replaced atomically

Random generators are not saved, since every step seeds them. The facts are what the run must share to be
resumed, the hash and the edits of its order, the number of tokens seen by source, and the certificate
(:mod:`train.certificate`). Checkpoints newer than ``latest`` are incomplete and are removed at the next
start; if ``latest`` is lost, the newest one with a manifest counts.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save as save_sharded

from core import manifest, storage
from core.errors import GristmillError, TrainingError
from core.manifest import FileEntry, Manifest
from core.stage import Stage
from model.formats.checkpoint import LATEST, STAGE, checkpoint_names, find_latest
from model.formats.dcp_storage import DcpReader, DcpWriter
from model.transformer import Transformer
from train import certificate
from train.parallel import World


class CheckpointWriter:
    """Writes checkpoints in a thread while training goes on, one at a time; all processes use it alike.

    :meth:`begin` copies the state to host memory, pinned on CUDA, which stays allocated. The thread writes
    and hashes the copy, verifies sizes, waits for :meth:`certify`, and publishes. Its collectives have a
    process group of their own, so that they cannot interleave with those of training.

    As a context manager, waits for the checkpoint being written; after an error, publishes it without a
    certificate if all processes have written theirs. Ctrl-C does not wait.
    """

    def __init__(
        self, folder: str, fingerprint: str, world: World, on_publish: Callable[[], None] = lambda: None
    ) -> None:
        """``fingerprint``: of the run. ``on_publish`` is called by rank 0 after each checkpoint."""
        self._folder, self._fingerprint, self._world = folder, fingerprint, world
        self._on_publish = on_publish
        on_gpu = world.device.type == "cuda"
        self._stager = DefaultStager(
            StagingOptions(
                use_pinned_memory=on_gpu,
                use_shared_memory=False,
                use_async_staging=False,  # the next step changes the state
                use_non_blocking_copy=on_gpu,  # followed by a synchronization
            )
        )
        self._group = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))
        self._executor = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[list[FileEntry]] | None = None
        self._publishing: Future[None] | None = None
        self._certificate: Future[dict[str, Any] | None] = Future()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
        elif isinstance(error, Exception):
            self.certify(None)
            # The others cannot wait for rank 0, which publishes when its training fails as they leave.
            last = self._publishing if self._world.is_rank_zero else self._writing
            with suppress(Exception):
                if last:
                    last.result()

    def begin(
        self, step: int, model: Transformer, optimizer: torch.optim.Optimizer, facts: dict[str, Any]
    ) -> None:
        """Begin to write the state after ``step``, once an earlier checkpoint is published."""
        self.wait()
        path, state = storage.join(self._folder, _name(step)), self._stager.stage(_state(model, optimizer))
        self._certificate = Future()
        self._writing = self._executor.submit(self._write, path, state)
        self._publishing = self._executor.submit(
            self._publish, step, path, facts, self._writing, self._certificate
        )

    @property
    def needs_certificate(self) -> bool:
        """True if a checkpoint is being written, and :meth:`certify` was not called since."""
        return self._publishing is not None and not self._certificate.done()

    def certify(self, found: dict[str, Any] | None) -> None:
        """Add the certificate to the checkpoint that is being written, so that it can be published.

        None: there is none.
        """
        if self.needs_certificate:
            self._certificate.set_result(found)

    @property
    def has_failed(self) -> bool:
        """True if :meth:`wait` will raise an error."""
        last = self._publishing
        return last is not None and last.done() and last.exception() is not None

    def wait(self) -> None:
        """Wait until the checkpoint that is being written is published; raise its error if it failed."""
        self.certify(None)
        last, self._publishing = self._publishing, None
        if last:
            last.result()

    def _write(self, path: str, state: Any) -> list[FileEntry]:
        """Write the state; return the files of all processes once all have written theirs."""
        writer = DcpWriter(path)
        try:
            save_sharded(state, storage_writer=writer, process_group=self._group)
        except CheckpointException as failed:
            raise next(iter(failed.failures.values()))[0] from None
        parts: list[list[FileEntry]] = [[]] * self._world.size
        dist.all_gather_object(parts, writer.entries(), group=self._group)
        return [entry for part in parts for entry in part]

    def _publish(
        self,
        step: int,
        path: str,
        facts: dict[str, Any],
        writing: Future[list[FileEntry]],
        certified: Future[dict[str, Any] | None],
    ) -> None:
        """Publish what was written, with its certificate; an error of rank 0 is raised in all processes."""
        files, outcome = writing.result(), list[GristmillError | None]([None])
        if self._world.is_rank_zero:
            own = {
                certificate.FACT: certified.result(),
                "world_size": self._world.size,
                "torch": torch.__version__,
            }
            try:
                Stage(STAGE, path, self._fingerprint).publish({"step": step}, files, {**facts, **own})
                storage.write_atomic(storage.join(self._folder, LATEST), _name(step).encode())
                self._on_publish()
            except GristmillError as error:
                outcome = [error]
            except Exception as error:  # the other processes wait for an answer
                outcome = [TrainingError(f"{path}: not published, by an unexpected error: {error!r}")]
        dist.broadcast_object_list(outcome, src=0, group=self._group)
        if outcome[0]:
            raise outcome[0]


def remove_old(folder: str, keep: int, keep_every: int = 0) -> None:
    """Remove all but the ``keep`` newest complete checkpoints and those of each ``keep_every`` steps."""
    checkpoints = checkpoint_names(folder)
    found = find_latest(folder)
    latest_name = storage.name(found[0]) if found else ""
    complete = [name for name in checkpoints if name <= latest_name]
    kept = {*complete[-keep:], *(name for name in complete if keep_every and _step(name) % keep_every == 0)}
    for name in checkpoints:
        if name not in kept:
            path = storage.join(folder, name)
            storage.remove(storage.join(path, manifest.NAME))  # what is half removed is not complete
            storage.remove(path)


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
    is_fresh = not optimizer.state
    model_state, optimizer_state = get_state_dict(model, optimizer, options=options)
    if is_fresh:  # torch has created the state by a step without gradients, which is not to count
        for values in optimizer.state.values():
            if "step" in values:
                values["step"].zero_()
    return {"model": model_state, "optimizer": optimizer_state}


def _name(step: int) -> str:
    return f"step-{step:08}"


def _step(name: str) -> int:
    return int(name.removeprefix("step-"))
