"""Models of transformers with random weights, and their folders opened by us."""

from pathlib import Path
from typing import Any

import torch
import transformers

from model.formats import huggingface
from model.transformer import Transformer


def peer(config: transformers.PretrainedConfig, **options: str) -> Any:
    """Return a model of transformers with random weights, including biases and norms."""
    torch.manual_seed(0)
    models: Any = transformers.AutoModelForCausalLM  # its methods are untyped
    found = models.from_config(config, **options).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return found


def ours(folder: Path) -> Transformer:
    """Return the model in a Hugging Face folder."""
    config, state = huggingface.read(folder)
    model = Transformer(config).eval()
    model.load_state_dict(state)
    return model
