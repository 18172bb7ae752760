"""Hugging Face folders, read and written, compared with the transformers library."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import ModelError
from model.config import Llama3Scaling, TransformerConfig
from model.formats import huggingface
from model.formats.state_dict_adapter import GPT2 as GPT2_NAMES
from model.formats.state_dict_adapter import LLAMA as LLAMA_NAMES
from model.formats.state_dict_adapter import parameter_shapes
from model.transformer import Transformer
from tests.model.formats.peers import ours, peer

SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
THEIRS: dict[str, transformers.PretrainedConfig] = {
    "llama": transformers.LlamaConfig(**SIZES),
    "grouped": transformers.LlamaConfig(**SIZES, num_key_value_heads=2),
    "one key head": transformers.LlamaConfig(**SIZES, num_key_value_heads=1, tie_word_embeddings=True),
    "wide heads": transformers.LlamaConfig(**SIZES, num_key_value_heads=2, head_dim=16),
    "biases": transformers.LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama3": transformers.LlamaConfig(**SIZES, rope_parameters=LLAMA3),
    "mistral": transformers.MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=None),
    "qwen2": transformers.Qwen2Config(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "smollm3": transformers.SmolLM3Config(**SIZES, num_key_value_heads=2, pad_token_id=0),
    "gemma": transformers.GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=8),
    "gpt2": transformers.GPT2Config(**GPT2),
    "gpt2 untied": transformers.GPT2Config(**GPT2, tie_word_embeddings=False, n_inner=40),
}


@pytest.fixture(params=list(THEIRS))
def theirs(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
    found = peer(THEIRS[request.param])
    found.save_pretrained(tmp_path / "theirs")
    return found, tmp_path / "theirs"


def tokens() -> Tensor:
    return torch.randint(97, (3, 40), generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_logits_equal_transformers_before_and_after_export(theirs: tuple[Any, Path], tmp_path: Path) -> None:
    original, folder = theirs
    model = ours(folder)
    expected = original(tokens()).logits
    torch.testing.assert_close(model(tokens()), expected, atol=1e-5, rtol=1e-5)
    written = tmp_path / "written"
    written.mkdir()
    huggingface.write(written, model.config, model.state_dict(), {"eos_token_id": 2})
    config, state = huggingface.read(written)
    assert config == model.config
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[name], weight) for name, weight in model.state_dict().items())
    again = transformers.AutoModelForCausalLM.from_pretrained(written)
    assert torch.equal(again(tokens()).logits, expected)
    assert {file.stat().st_mode for file in written.iterdir()} == {(written / "config.json").stat().st_mode}


def test_sharded_bfloat16_model(tmp_path: Path) -> None:
    model = peer(THEIRS["grouped"])
    model.bfloat16().save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / huggingface.INDEX).exists()
    _, state = huggingface.read(tmp_path)
    assert state["embedding.weight"].dtype == torch.bfloat16
    assert torch.equal(state["embedding.weight"], model.model.embed_tokens.weight)
    index = json.loads((tmp_path / huggingface.INDEX).read_text())
    file = index["weight_map"]["model.norm.weight"]
    tensors = load_file(tmp_path / file)
    save_file({name: each for name, each in tensors.items() if name != "model.norm.weight"}, tmp_path / file)
    with pytest.raises(ModelError, match=rf"model.norm.weight is not in {file}; get that file again"):
        huggingface.read(tmp_path)
    index["weight_map"]["model.norm.weight"] = f"../{file}"
    (tmp_path / huggingface.INDEX).write_text(json.dumps(index))
    with pytest.raises(ModelError, match="must name files in the same folder"):
        huggingface.read(tmp_path)


@torch.inference_mode()
def test_names_without_prefix_and_ignored_tensors(tmp_path: Path) -> None:
    """The first GPT-2 and some Llama files are like this."""
    original = peer(THEIRS["gpt2"])
    original.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / huggingface.WEIGHTS)
    bare = {name.removeprefix("transformer."): each for name, each in tensors.items()}
    bare |= {"h.0.attn.bias": torch.ones(1, 1, 64, 64).tril(), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    bare["lm_head.weight"] = bare["wte.weight"].clone()
    save_file(bare, tmp_path / huggingface.WEIGHTS)
    expected = original(tokens()).logits
    torch.testing.assert_close(ours(tmp_path)(tokens()), expected, atol=1e-5, rtol=1e-5)
    bare["lm_head.weight"] += 1
    save_file(bare, tmp_path / huggingface.WEIGHTS)
    with pytest.raises(ModelError, match=r"lm_head\.weight: no such parameter in this model"):
        huggingface.read(tmp_path)


def test_configuration_keys_of_earlier_versions(tmp_path: Path) -> None:
    peer(THEIRS["llama3"]).save_pretrained(tmp_path)
    path = tmp_path / huggingface.CONFIG
    values = json.loads(path.read_text())
    rope = values.pop("rope_parameters")
    values |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope, "architectures": None}
    path.write_text(json.dumps(values))
    config, _ = huggingface.read(tmp_path)
    assert (config.rope_theta, config.rope_scaling) == (500.0, Llama3Scaling(8.0, 1.0, 4.0, 16))


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "architecture": (
        "llama",
        {"architectures": ["FalconForCausalLM"]},
        r"FalconForCausalLM.\]; supported are",
    ),
    "not causal": (
        "llama",
        {"architectures": ["LlamaForSequenceClassification"]},
        "supported are GPT2LMHeadModel, LlamaForCausal",
    ),
    "activation": ("llama", {"hidden_act": "gelu"}, "hidden_act = 'gelu'; only 'silu'"),
    "window": ("mistral", {"sliding_window": "16"}, "sliding_window = '16'; must be an integer"),
    "layers of a window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["full_attention", "chunked"]},
        "layer_types = .* must name full_attention or sliding_attention for each of 2 layers",
    ),
    "rotary layers": ("smollm3", {"no_rope_layers": [1]}, r"no_rope_layers = \[1\]; must list 0 or 1"),
    "bidirectional": (
        "gemma",
        {"use_bidirectional_attention": True},
        "use_bidirectional_attention = True; only False",
    ),
    "quantized": ("llama", {"quantization_config": {"bits": 4}}, "quantization_config = .*; only None"),
    "yarn": ("llama", {"rope_parameters": {"rope_type": "yarn", "truncate": False}}, "scaled by 'yarn'"),
    "dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "scaled by 'dynamic'"),
    "partial": ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "part of the channels"),
    "scaling": ("llama", {"rope_parameters": {"rope_type": "llama3"}}, "factor = None; must be a number"),
    "text": ("llama", {"hidden_size": "32"}, "hidden_size = '32'; must be an integer of at least"),
    "negative": ("llama", {"hidden_size": -32}, "hidden_size = -32; must be an integer of at least"),
    "heads": ("grouped", {"num_key_value_heads": 3}, "4 heads, 3 key-value heads"),
    "epsilon": ("llama", {"rms_norm_eps": "small"}, "rms_norm_eps = 'small'; must be a number"),
    "rope": ("llama", {"rope_scaling": "long"}, "rope_scaling = 'long'; must be an object"),
    "type": ("llama", {"architectures": None, "model_type": ["llama"]}, r"architecture \[None\]"),
    "no heads": (
        "llama",
        {"num_attention_heads": 0},
        "num_attention_heads = 0; must be an integer of at least",
    ),
    "odd heads": ("llama", {"head_dim": 7}, "head size 7: must be even"),
    "absent": ("gpt2", {"n_layer": None}, "n_layer = None; must be an integer of at least"),
    "layers": ("llama", {"num_hidden_layers": 3}, r"model\.layers\.2\..*: missing"),
    "many layers": ("llama", {"num_hidden_layers": 10**9}, "1000000000 layers, but only"),
    "fewer layers": ("llama", {"num_hidden_layers": 1}, r"model\.layers\.1\..*no such parameter"),
    "width": (
        "llama",
        {"intermediate_size": 64},
        r"shape \[48, 32\], but .* \[64, 32\]",
    ),
    "scale": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = True"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_unsupported_configurations_are_refused(name: str, tmp_path: Path) -> None:
    kind, changes, message = WRONG[name]
    peer(THEIRS[kind]).save_pretrained(tmp_path)
    path = tmp_path / huggingface.CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelError, match=message) as caught:
        huggingface.read(tmp_path)
    assert "\n" not in str(caught.value)


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json: no such file"):
        huggingface.read(tmp_path)
    peer(THEIRS["llama"]).save_pretrained(tmp_path)
    weights, config = tmp_path / huggingface.WEIGHTS, tmp_path / huggingface.CONFIG
    whole = weights.read_bytes()
    for cut in (0, 4, 100, len(whole) - 1):
        weights.write_bytes(whole[:cut])
        with pytest.raises(ModelError, match="not a complete safetensors file"):
            huggingface.read(tmp_path)
    weights.unlink()
    with pytest.raises(ModelError, match="neither"):
        huggingface.read(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle, which can execute code"):
        huggingface.read(tmp_path)
    for text in ("{", "[]"):
        config.write_text(text)
        with pytest.raises(ModelError, match=r"not (a )?JSON"):
            huggingface.read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"norm": "layer"},
        {"qkv_bias": False, "output_bias": True},
        {"activation": "gelu"},
        {"qk_norm": True, "nope_layers": (0,)},
        {"logit_softcap": 30.0},
    ],
)
def test_unknown_architectures_are_not_written(change: dict[str, Any], tmp_path: Path) -> None:
    config = replace(TransformerConfig(97, 1, 32, 4, 4, 48), **change)
    with pytest.raises(ModelError, match="no such architecture in Hugging Face's library"):
        huggingface.write(tmp_path, config, Transformer(config).state_dict(), {})
    assert not list(tmp_path.iterdir())


def test_foreign_names_are_unique() -> None:
    config = TransformerConfig(97, 2, 32, 4, 2, 48, tied=False)
    foreign = [LLAMA_NAMES.foreign_name(name) for name in parameter_shapes(config)]
    assert len(set(foreign)) == len(foreign)
    assert LLAMA_NAMES.foreign_name("blocks.1.attention.query") == "model.layers.1.self_attn.q_proj"
    assert GPT2_NAMES.foreign_name("blocks.0.attention.key.bias") == "transformer.h.0.attn.c_attn.bias"
