"""Adapters of the ``peft`` package give its logits, or are refused by the name of what is not supported."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from core.errors import ModelError
from model.formats import adapter, lora
from tests.model.formats.test_lora import TOKENS, adapted, ours, theirs

# Warnings that peft causes itself: a deprecated attribute, and settings that it corrects or advises against.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
    pytest.mark.filterwarnings("ignore:aLoRA is currently only supported"),
    pytest.mark.filterwarnings("ignore:`init_lora_weights` is 'eva'"),
    pytest.mark.filterwarnings("ignore:lora with eva initialization"),
]
LLAMA: dict[str, Any] = {"target_modules": ["q_proj", "v_proj", "down_proj"]}
GPT2: dict[str, Any] = {"target_modules": ["c_attn", "mlp.c_proj"]}


def saved(family: str, folder: Path, **settings: Any) -> Path:
    """Save an adapter with random changes."""
    torch.manual_seed(2)
    made: Any = get_peft_model(
        theirs(ours(family), folder / "base"), LoraConfig(r=4, lora_alpha=6, **settings)
    )
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn_like(parameter)
    made.save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", LLAMA),
        ("llama", {"target_modules": "all-linear", "fan_in_fan_out": True, "lora_dropout": 0.5}),
        ("llama", {"target_modules": r".*\.1\..*(q|up)_proj", "use_rslora": True}),
        ("llama", LLAMA | {"layers_to_transform": [1], "exclude_modules": ["v_proj"]}),
        (
            "llama",
            LLAMA
            | {
                "rank_pattern": {"q_proj": 5},
                "alpha_pattern": {"layers.1.self_attn.q_proj": 7, "q_proj": 2, "v.proj": 3},
            },
        ),
        ("llama", LLAMA | {"init_lora_weights": "gaussian"}),
        ("llama", LLAMA | {"init_lora_weights": "orthogonal"}),
        ("llama", LLAMA | {"init_lora_weights": "eva"}),
        ("llama", LLAMA | {"init_lora_weights": "pissa"}),
        ("llama", LLAMA | {"init_lora_weights": "pissa", "use_dora": True, "use_rslora": True}),
        ("llama", LLAMA | {"init_lora_weights": "olora", "use_rslora": True}),
        ("llama", LLAMA | {"use_dora": True}),
        ("gpt2", GPT2),
        ("gpt2", GPT2 | {"init_lora_weights": "pissa"}),
        ("gpt2", GPT2 | {"use_dora": True, "alpha_pattern": {"h.1.attn.c_attn": 5}}),
    ],
)
def test_logits_equal_those_of_peft(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    folder = str(saved(family, tmp_path, **settings))
    model = ours(family)
    expected = PeftModel.from_pretrained(theirs(model, tmp_path / "fresh"), folder).eval()(TOKENS).logits
    assert not torch.allclose(expected, model(TOKENS), atol=1e-3)
    adapter.apply(model, adapter.read(folder))
    torch.testing.assert_close(model(TOKENS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = pissa_niter_4: not supported"),
        ({"bias": "lora_only"}, "bias = lora_only: not supported"),
        ({"alora_invocation_tokens": [1, 2]}, r"alora_invocation_tokens = \[1, 2\]: not supported"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save = \['lm_head'\]: not supported"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication = .*: not supported"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices = .*: not supported"),
        ({"target_parameters": ["mlp.up_proj.weight"]}, "target_parameters = .*: not supported"),
        (
            {"target_modules": ["embed_tokens"]},
            "tensor base_model.model.model.embed_tokens.*: only adapters of",
        ),
    ],
)
def test_adapters_that_do_more_are_refused_by_name(
    settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = saved("llama", tmp_path, **LLAMA | settings)
    with pytest.raises(ModelError, match=message):
        adapter.read(str(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_lora_weights": "loftq"}, "init_lora_weights = loftq: not supported"),
        ({"init_lora_weights": "corda"}, "init_lora_weights = corda: not supported"),
        ({"peft_type": "IA3"}, "peft_type = IA3: not supported"),
        ({"of_next_year": {"rank": 2}}, r"of_next_year = \{'rank': 2\}: not supported"),
        ({"lora_alpha": "8"}, "lora_alpha or alpha_pattern is '8': must be a number"),
        ({"alpha_pattern": {"q_proj": None}}, "lora_alpha or alpha_pattern is None: must be a number"),
    ],
)
def test_unknown_settings_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    lora.write(str(tmp_path), adapted(ours("llama")), base="")
    path = tmp_path / adapter.CONFIG
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"of_next_year": None, "and_the_next": []}))
    adapter.read(str(tmp_path))
    path.write_text(json.dumps(settings | changes))
    with pytest.raises(ModelError, match=message) as caught:
        adapter.read(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_missing_incomplete_and_damaged_adapters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must hold a readable adapter_config\.json"):
        adapter.read(str(tmp_path))
    lora.write(str(tmp_path), adapted(ours("llama")), base="")
    other = ours("gpt2")
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ModelError, match="fit no layer of the model"):
        adapter.apply(other, adapter.read(str(tmp_path)))
    assert all(torch.equal(weight, before[name]) for name, weight in other.state_dict().items())
    weights = tmp_path / adapter.WEIGHTS
    tensors = load_file(weights)
    save_file({name: tensor for name, tensor in tensors.items() if "lora_B" not in name}, weights)
    with pytest.raises(ModelError, match="fit no layer of the model"):
        adapter.apply(ours("llama"), adapter.read(str(tmp_path)))
    save_file({}, weights)
    with pytest.raises(ModelError, match="contains no tensors"):
        adapter.read(str(tmp_path))
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="must hold a readable"):
        adapter.read(str(tmp_path))
    (tmp_path / adapter.CONFIG).write_text("[]")
    save_file(tensors, weights)
    with pytest.raises(ModelError, match="not a JSON object"):
        adapter.read(str(tmp_path))
