"""Read and write Hugging Face folders: ``config.json`` and safetensors files, with an index if sharded.

Supports GPT-2, Llama, Mistral, Qwen2, Qwen3, SmolLM3, Gemma and Gemma 2. Models that :mod:`model.transformer`
cannot reproduce exactly are refused.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import ModelError
from model.config import TransformerConfig
from model.formats import huggingface_config, state_dict_adapter
from model.formats.state_dict_adapter import NameMap

CONFIG, GENERATION = "config.json", "generation_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def read(folder: Path) -> tuple[TransformerConfig, dict[str, Tensor]]:
    """Return configuration and state dict (our names, the file's dtype) of the model in ``folder``.

    Raises :class:`ModelError` for incomplete folders and unsupported models.
    """
    config = huggingface_config.read(folder / CONFIG, _load_json(folder / CONFIG))
    state = state_dict_adapter.from_foreign(name_map(config), config, _load_tensors(folder), folder)
    return config, state


def stop_tokens(folder: Path) -> frozenset[int]:
    """Return the ids that end a text, which ``config.json`` and ``generation_config.json`` list.

    Raises :class:`ModelError` for values that are not token ids.
    """
    found: set[int] = set()
    for file in (folder / CONFIG, folder / GENERATION):
        value = _load_json(file).get("eos_token_id") if file.exists() else None
        tokens = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(token, int) and not isinstance(token, bool) for token in tokens):
            raise ModelError(
                f"{file}: eos_token_id = {value!r}; must be a token id or a list of them: correct it"
            )
        found.update(tokens)
    return frozenset(found)


def write(
    folder: Path,
    config: TransformerConfig,
    state: Mapping[str, Tensor],
    tokens: Mapping[str, int | list[int]],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write ``config.json``, ``generation_config.json`` and ``model.safetensors`` into an existing folder.

    ``tokens`` holds those of ``bos_token_id``, ``eos_token_id`` and ``pad_token_id`` that exist.
    Raises :class:`ModelError` for an architecture that Hugging Face's library does not have.
    """
    values = config_json(config) | {"dtype": str(dtype).removeprefix("torch."), **tokens}
    converted = {name: tensor.to(dtype) for name, tensor in state.items()}
    tensors = state_dict_adapter.to_foreign(name_map(config), config, converted)
    for file, content in ((CONFIG, values), (GENERATION, dict(tokens))):
        (folder / file).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    shutil.copymode(
        folder / CONFIG, folder / WEIGHTS
    )  # safetensors creates files readable by their owner only


def config_json(config: TransformerConfig) -> dict[str, Any]:
    """Return the content of ``config.json``; raises :class:`ModelError` as :func:`write`."""
    return huggingface_config.write(config)


def name_map(config: TransformerConfig) -> NameMap:
    """Return the parameter names of this architecture in Hugging Face format."""
    if config.positions == "learned":
        return state_dict_adapter.GPT2
    return state_dict_adapter.GEMMA2 if config.post_norms else state_dict_adapter.LLAMA


def _load_tensors(folder: Path) -> dict[str, Tensor]:
    """Load all tensors of a folder, with their foreign names."""
    if (folder / WEIGHTS).exists():
        return _load_file(folder / WEIGHTS)
    if (folder / INDEX).exists():
        files = _load_json(folder / INDEX).get("weight_map")
        if not isinstance(files, dict) or any(Path(str(file)).name != file for file in files.values()):
            raise ModelError(
                f"{folder / INDEX}: weight_map must name files in the same folder; get the index again"
            )
        tensors: dict[str, Tensor] = {}
        for file in sorted(set(files.values())):
            tensors |= _load_file(folder / file)
        if missing := sorted(files.keys() - tensors.keys()):
            raise ModelError(f"{folder}: {missing[0]} is not in {files[missing[0]]}; get that file again")
        return tensors
    if any(folder.glob("pytorch_model*.bin")):
        raise ModelError(
            f"{folder}: the weights are a pickle, which can execute code when loaded; if you trust it, load "
            "it with transformers and save it as safetensors"
        )
    raise ModelError(f"{folder}: contains neither {WEIGHTS} nor {INDEX}; get the whole model")


def _load_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        cause = " ".join(str(error).split())[:100]
        raise ModelError(f"{path}: not a complete safetensors file ({cause}); get it again") from None


def _load_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{path}: no such file; get the whole model") from None
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error}); get it again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: not a JSON object; get it again")
    return values
