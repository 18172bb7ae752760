"""Folders of a pre-training run, as the configuration names them."""

from core import storage
from core.config import Config


def run_folder(config: Config) -> str:
    """Return the folder of checkpoints and metrics: ``train.name`` below ``output.path``."""
    return storage.join(config.output.path, config.train.name)


def data_folder(config: Config) -> str:
    """Return the output folder that has the shards, their tokenizer and documents."""
    return config.train.shards or config.output.path
