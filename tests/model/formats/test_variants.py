"""Random small models of every family, compared with the transformers library."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.formats import huggingface, state_dict_adapter
from model.fused import fuse
from model.kv_cache import KVCache
from model.transformer import Transformer
from tests.model.formats.peers import ours, peer

CLASSES = {
    "gpt2": transformers.GPT2Config,
    "llama": transformers.LlamaConfig,
    "mistral": transformers.MistralConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
    "smollm3": transformers.SmolLM3Config,
    "gemma": transformers.GemmaConfig,
    "gemma2": transformers.Gemma2Config,
}
VOCABULARY, LAYERS, TOKENS = 61, 4, 24
KINDS = ("full_attention", "sliding_attention")
ROPES: list[dict[str, Any]] = [
    {"rope_type": "default", "rope_theta": 300.0},
    {"rope_type": "linear", "rope_theta": 300.0, "factor": 3.0},
    {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    {"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 32},
    {
        "rope_type": "yarn",
        "rope_theta": 1e4,
        "factor": 16.0,
        "original_max_position_embeddings": 256,
        "beta_fast": 16,
        "beta_slow": 2,
        "mscale": 1.2,
        "mscale_all_dim": 0.8,
    },
    {
        "rope_type": "yarn",
        "rope_theta": 1e4,
        "factor": 2.0,
        "original_max_position_embeddings": 64,
        "attention_factor": 1.3,
    },
]


@st.composite
def configurations(draw: st.DrawFn, family: str) -> transformers.PretrainedConfig:
    flag, window = st.booleans(), st.sampled_from([3, 8, 64])
    if family == "gpt2":
        return transformers.GPT2Config(
            vocab_size=VOCABULARY,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_positions=64,
            n_inner=draw(st.sampled_from([None, 40])),
            tie_word_embeddings=draw(flag),
        )
    values: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": draw(st.sampled_from([1, 2, 4])),
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "head_dim": draw(st.sampled_from([8, 16])),
        "tie_word_embeddings": draw(flag),
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-5])),
        "rope_parameters": dict(draw(st.sampled_from(ROPES))),
        "pad_token_id": None,
    }
    layer_types = st.lists(st.sampled_from(KINDS), min_size=LAYERS, max_size=LAYERS)
    if family in ("llama", "qwen3", "smollm3", "gemma", "gemma2"):
        values["attention_bias"] = draw(flag)
    if family in ("llama", "smollm3"):
        values["mlp_bias"] = draw(flag)
    if family == "mistral":
        values["sliding_window"] = draw(st.one_of(st.none(), window))
    if family in ("qwen2", "qwen3", "smollm3"):
        values |= {"use_sliding_window": draw(flag), "sliding_window": draw(window)}
    if family in ("qwen2", "qwen3"):
        values["max_window_layers"] = draw(st.integers(0, LAYERS))
    if family == "smollm3":
        values["no_rope_layer_interval"] = draw(st.integers(1, 5))
    if family == "gemma2":
        values |= {
            "sliding_window": draw(window),
            "query_pre_attn_scalar": draw(st.sampled_from([8, 16, 24])),
            "attn_logit_softcapping": draw(st.sampled_from([None, 2.0])),
            "final_logit_softcapping": draw(st.sampled_from([None, 3.0])),
        }
    if (values.get("use_sliding_window") or family == "gemma2") and draw(flag):
        values["layer_types"] = draw(layer_types)
    return CLASSES[family](**values)


def loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def check_gradients(model: Transformer, theirs: Any) -> None:
    """Compare the gradients of all parameters, by the names of transformers."""
    gradients = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    names = huggingface.name_map(model.config)
    converted = state_dict_adapter.to_foreign(names, model.config, gradients)
    expected = {name: weight.grad for name, weight in theirs.named_parameters()}
    assert converted.keys() == expected.keys()
    for name, gradient in converted.items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-5, msg=name)


@torch.no_grad()
def check_caches(model: Transformer, tokens: Tensor, expected: Tensor) -> None:
    """Compare cached logits, and tokens of a fused model and of a batch, with the uncached forward pass."""
    cache = KVCache(model.config, TOKENS, batch_size=len(tokens))
    parts = [model(part, cache=cache) for part in tokens.split([10, 1, 9, 4], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(fuse(model)(tokens), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", list(CLASSES))
@given(st.data())
@settings(max_examples=5, deadline=None)
def test_variants_equal_transformers(family: str, data: st.DataObject) -> None:
    theirs = peer(data.draw(configurations(family)), attn_implementation="eager")
    tokens = torch.randint(VOCABULARY, (2, TOKENS), generator=torch.Generator().manual_seed(1))
    with tempfile.TemporaryDirectory() as name:
        folder, written = Path(name, "theirs"), Path(name, "written")
        theirs.save_pretrained(folder)
        model = ours(folder)
        written.mkdir()
        huggingface.write(written, model.config, model.state_dict(), {"eos_token_id": 2, "pad_token_id": 0})
        again = ours(written)
        reopened = transformers.AutoModelForCausalLM.from_pretrained(written, attn_implementation="eager")
    assert again.config == model.config
    assert all(torch.equal(again.state_dict()[name], each) for name, each in model.state_dict().items())
    logits, expected = model(tokens), theirs(tokens).logits
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        assert torch.equal(reopened(tokens).logits, expected)
    loss(logits, tokens).backward()
    loss(expected, tokens).backward()
    check_gradients(model, theirs)
    check_caches(model, tokens, expected.detach())


@torch.no_grad()
def test_gemma_2_without_local_layers_opens_in_transformers(tmp_path: Path) -> None:
    values = {"num_hidden_layers": 2, "layer_types": ["full_attention"] * 2, "head_dim": 8}
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48}
    theirs = peer(
        transformers.Gemma2Config(vocab_size=VOCABULARY, pad_token_id=None, **values, **sizes),
        attn_implementation="eager",
    )
    theirs.save_pretrained(tmp_path / "theirs")
    model = ours(tmp_path / "theirs")
    assert model.config.sliding_window == 0
    (tmp_path / "written").mkdir()
    huggingface.write(tmp_path / "written", model.config, model.state_dict(), {})
    assert ours(tmp_path / "written").config == model.config
    reopened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "written")
    tokens = torch.arange(12)[None]
    torch.testing.assert_close(reopened(tokens).logits, model(tokens), atol=1e-5, rtol=1e-5)
