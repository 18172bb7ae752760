"""A trained model, whole, in one process."""

import torch

from model.config import ModelConfig
from model.transformer import Transformer
from pipeline import storage
from pipeline.config import Config, require
from pipeline.errors import InputError, MismatchError
from pipeline.manifest import Manifest
from pipeline.tokenizer import Tokenizer
from train import checkpoint


def load_trained(config: Config, device: torch.device) -> tuple[Transformer, Tokenizer, Manifest]:
    """The model of a run's latest checkpoint, whole and in float32, its tokenizer, the checkpoint's manifest.

    Raises :class:`InputError` if there is no checkpoint, and :class:`MismatchError` for a foreign tokenizer.
    """
    require(config, "output.path")
    folder = storage.join(config.output.path, "training", "checkpoints")
    found = checkpoint.latest(folder)
    if found is None:
        raise InputError(f"{folder}: no checkpoint there; train a model first (torchrun -m train)")
    place, manifest = found
    tokenizer = Tokenizer.load(storage.join(config.output.path, "tokenizer"))
    if manifest.facts["tokenizer_sha256"] != tokenizer.sha256:
        raise MismatchError(
            f"{place}: trained with tokenizer {manifest.facts['tokenizer_sha256'][:12]}…, but output.path "
            f"holds {tokenizer.sha256[:12]}…; put back the other or train again"
        )
    model = Transformer(ModelConfig.from_dict(manifest.facts["model"]))
    checkpoint.restore_weights(place, manifest, model)
    return model.to(device).eval().requires_grad_(False), tokenizer, manifest
