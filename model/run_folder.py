"""Find the parts of a pre-training run: its checkpoints and its tokenizer.

===========================  ========================================================
``OUT``                      the run in ``OUT/training``
``OUT/NAME``                 the run named so by ``train.name``
``…/checkpoints/step-N``     one of its checkpoints; else it is the latest
===========================  ========================================================
"""

import posixpath
from dataclasses import dataclass
from pathlib import Path

from core import manifest, storage
from core.config.train import DEFAULT_RUN, OTHER_OUTPUTS
from core.errors import InputError
from core.manifest import Manifest
from model.formats import checkpoint

CHECKPOINTS, TOKENIZER = "checkpoints", "tokenizer"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run, or one of its checkpoints."""

    folder: str
    """Folder of checkpoints and metrics."""
    checkpoint: str = ""
    """Path of the checkpoint; empty: the latest one."""

    @property
    def tokenizer(self) -> str:
        """Folder of the tokenizer: the run's own if its shards are another run's, else that of ``OUT``."""
        own = storage.join(self.folder, TOKENIZER)
        return own if storage.exists(own) else storage.join(parent(self.folder), TOKENIZER)

    def find_checkpoint(self) -> tuple[str, Manifest]:
        """Return path and manifest of the checkpoint.

        Raises :class:`InputError` if there is none, or if it is one of fine-tuning.
        """
        folder = storage.join(self.folder, CHECKPOINTS)
        if self.checkpoint:
            found = self.checkpoint, manifest.read(self.checkpoint, checkpoint.STAGE)
        elif not (latest := checkpoint.find_latest(folder)):
            raise InputError(f"{folder}: contains no checkpoint; train a model first (torchrun -m train)")
        else:
            found = latest
        if "train" not in found[1].facts:
            raise InputError(
                f"{found[0]}: a checkpoint of fine-tuning; name the model that it has made, "
                f"{storage.join(parent(self.folder), 'model')}"
            )
        return found


def find_run(path: str) -> RunFolder | None:
    """Return the run at ``path``: its output folder, its own folder or one of its checkpoints."""
    if storage.exists(storage.join(path, DEFAULT_RUN)):
        return RunFolder(storage.join(path, DEFAULT_RUN))
    if storage.exists(storage.join(path, CHECKPOINTS, checkpoint.LATEST)):
        return RunFolder(path)
    if storage.exists(storage.join(path, ".metadata")):
        return RunFolder(parent(parent(path)), path)
    return None


def named_runs(output: str) -> list[str]:
    """Return the paths of the runs in an output folder on this machine, by name."""
    found = [path.parents[1] for path in Path(output).glob(f"*/{CHECKPOINTS}/{checkpoint.LATEST}")]
    return sorted(str(folder) for folder in found if folder.name not in OTHER_OUTPUTS)


def parent(path: str) -> str:
    """Return the folder that a file or folder is in."""
    return posixpath.dirname(storage.absolute(path).rstrip("/"))
