"""Loading the latest checkpoint of a run; other formats are in ``test_export.py``."""

from pathlib import Path

import pytest
import torch

from core.errors import ManifestError
from model.loading import load_latest_checkpoint
from tests.train.folder import Folder
from train.loop import train
from train.parallel import World


def test_altered_checkpoints_are_refused(packed: Path, tmp_path: Path, world: World) -> None:
    altered = Folder(tmp_path, packed)
    train(altered.config("train.steps=2"), world)
    path = next((altered.training / "checkpoints" / "step-00000002").glob("*.distcp"))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ManifestError, match="it was altered"):
        load_latest_checkpoint(altered.config(), torch.device("cpu"))
