"""GGUF files, written by the ``gguf`` package from random models, and read back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf as gguf_package
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Quantization
from torch import Tensor

from core.errors import ModelError
from model.config import LinearScaling, TransformerConfig, YarnScaling
from model.formats import gguf, gguf_writer, state_dict_adapter
from model.rotary import frequencies
from model.transformer import Transformer

LLAMA = TransformerConfig(96, 2, 64, 4, 2, 128, rope_theta=500.0, context=64)
GPT2 = TransformerConfig(96, 2, 64, 4, 4, 256).as_gpt2(1024)
GEMMA = replace(LLAMA, zero_centered_norm=True, activation="geglu", embedding_scale=8.0)
SHAPES = {
    "llama": LLAMA,
    "untied": replace(LLAMA, tied=False),
    "wide heads": replace(LLAMA, head_size=32),
    "biases": replace(LLAMA, qkv_bias=True, output_bias=True),
    "llama3": replace(LLAMA, rope_theta=500_000.0, rope_scaling=gguf.LLAMA3_SCALINGS[1]),
    "gpt2": GPT2,
}


def random_model(config: TransformerConfig) -> Transformer:
    generator = torch.Generator().manual_seed(0)
    model = Transformer(config).eval().requires_grad_(False)
    for name, weight in model.state_dict().items():
        weight.normal_(1.0 if name.endswith("norm.weight") else 0.0, 0.1, generator=generator)
    return model


def write(
    path: Path, model: Transformer, quantization: Quantization = Quantization.F32, **fields: Any
) -> None:
    """Write a file as llama.cpp's converter does; ``fields`` override settings, None omits one."""
    config = model.config
    gpt2 = config.positions == "learned"
    writer = gguf_package.GGUFWriter(path, fields.pop("architecture", "gpt2" if gpt2 else "llama"))
    settings = {
        "block_count": config.num_layers,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "head_count": config.num_heads,
        "head_count_kv": config.num_kv_heads,
        "context_length": config.context,
        "rope_freq_base": config.rope_theta,
        "layer_norm_eps" if gpt2 else "layer_norm_rms_eps": config.norm_epsilon,
        "key_length": config.head_size,
        "rope_dimension_count": config.head_size,
    } | fields
    for name, value in settings.items():
        if value is not None:
            getattr(writer, f"add_{name}")(value)
    for name, tensor in tensors(model).items():
        data = tensor.numpy()
        if quantization != Quantization.F32 and tensor.ndim == 2:
            writer.add_tensor(name, gguf_package.quantize(data, quantization), raw_dtype=quantization)
        else:
            writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tensors(model: Transformer) -> dict[str, Tensor]:
    config = model.config
    table = state_dict_adapter.GGUF_GPT2 if config.positions == "learned" else state_dict_adapter.GGUF_LLAMA
    found = state_dict_adapter.to_foreign(table, config, model.state_dict())
    if config.positions == "rotary":
        rotated = [name for name in found if "attn_q." in name or "attn_k." in name]
        found |= {name: permuted(found[name], config.head_size) for name in rotated}
    if config.rope_scaling:
        found[gguf.ROPE_FREQUENCIES] = frequencies(replace(config, rope_scaling=None)) / frequencies(config)
    return found


def permuted(tensor: Tensor, size: int) -> Tensor:
    """Reorder channels i and i + d/2 of each head to be adjacent."""
    order = torch.arange(tensor.shape[0]).view(-1, 2, size // 2).transpose(1, 2).flatten()
    return tensor[order].contiguous()


def tokens() -> Tensor:
    return torch.randint(96, (2, 40), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", list(SHAPES))
@torch.inference_mode()
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    model = random_model(SHAPES[name])
    path = tmp_path / "model.gguf"
    write(path, model)
    found = gguf.read(path)
    assert found.config == model.config
    assert found.state.keys() == model.state_dict().keys()
    assert all(torch.equal(found.state[name], weight) for name, weight in model.state_dict().items())


@pytest.mark.parametrize("name", ["llama", "untied", "gpt2"])
@torch.inference_mode()
def test_logits_equal_transformers(name: str, tmp_path: Path) -> None:
    words = [f"<{number}>" for number in range(96)]  # transformers needs a token list
    write(tmp_path / "model.gguf", random_model(SHAPES[name]), token_list=words, vocab_size=96)
    found = gguf.read(tmp_path / "model.gguf")
    model = Transformer(found.config).eval()
    model.load_state_dict(found.state)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf")
    torch.testing.assert_close(model(tokens()), peer(tokens()).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("quantization", ["F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "MXFP4"])
def test_quantized_weights_are_dequantized(quantization: str, tmp_path: Path) -> None:
    model = random_model(LLAMA)
    write(tmp_path / "model.gguf", model, Quantization[quantization])
    found = gguf.read(tmp_path / "model.gguf").state
    for name, weight in model.state_dict().items():
        expected = weight.numpy()
        if weight.ndim == 2:
            packed = gguf_package.quantize(expected, Quantization[quantization])
            expected = gguf_package.dequantize(packed, Quantization[quantization])
        assert torch.equal(found[name], torch.from_numpy(expected))


def test_vocabulary_size_is_that_of_the_embedding(tmp_path: Path) -> None:
    write(tmp_path / "model.gguf", random_model(LLAMA), vocab_size=90)
    assert gguf.read(tmp_path / "model.gguf").config.vocabulary_size == 96


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "architecture": ({"architecture": "falcon"}, "architecture 'falcon'; supported are gpt2, llama"),
    "absent": ({"block_count": None}, r"llama\.block_count = 0; must be a number above 0"),
    "by layer": (
        {"head_count": [4, 2]},
        r"llama\.attention\.head_count = \[4, 2\]; must be a number above 0",
    ),
    "no heads": ({"head_count": 0}, r"llama\.attention\.head_count = 0; must be a number above 0"),
    "experts": ({"expert_count": 8}, "8 experts; only dense models"),
    "partial": ({"rope_dimension_count": 8}, "rotates 8 of 16 channels"),
    "scaled": ({"rope_scaling_type": gguf_package.RopeScalingType.LONGROPE}, "scaled by 'longrope'"),
    "no factor": (
        {"rope_scaling_type": gguf_package.RopeScalingType.YARN},
        r"rope\.scaling\.factor = None; must be above 0",
    ),
    "heads": ({"head_count_kv": 3}, "4 heads, 3 key-value heads"),
    "more layers": ({"block_count": 3}, r"blk\.2\..*: missing"),
    "fewer layers": ({"block_count": 1}, r"blk\.1\..*no such parameter"),
    "width": ({"feed_forward_length": 64}, r"shape \[128, 64\], but .* \[64, 64\]"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_unsupported_models_are_refused(name: str, tmp_path: Path) -> None:
    fields, message = WRONG[name]
    write(tmp_path / "model.gguf", random_model(LLAMA), **fields)
    with pytest.raises(ModelError, match=message) as caught:
        gguf.read(tmp_path / "model.gguf")
    assert "\n" not in str(caught.value)


def test_output_equal_to_embedding_is_tied(tmp_path: Path) -> None:
    model = random_model(replace(LLAMA, tied=False))
    assert model.output is not None
    model.output.weight.copy_(model.embedding.weight)
    write(tmp_path / "model.gguf", model)
    found = gguf.read(tmp_path / "model.gguf")
    assert found.config.tied
    assert "output.weight" not in found.state


def test_file_without_embedding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, random_model(LLAMA))
    path.write_bytes(path.read_bytes().replace(b"token_embd.weight", b"token_embx.weight"))
    with pytest.raises(ModelError, match=r"has no token_embd\.weight"):
        gguf.read(path)


def test_unknown_rope_scaling_is_refused(tmp_path: Path) -> None:
    scaling = replace(gguf.LLAMA3_SCALINGS[0], factor=2.0)
    write(
        tmp_path / "model.gguf",
        random_model(replace(LLAMA, rope_theta=500_000.0, rope_scaling=scaling)),
    )
    with pytest.raises(ModelError, match=r"rope_freqs\.weight is neither"):
        gguf.read(tmp_path / "model.gguf")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write(path, random_model(LLAMA))
    whole = path.read_bytes()
    for broken in (b"", b"GGUF", whole[:30], whole[:400], whole[:-1], b"PK" + whole[2:], bytes(4096)):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match="not a complete GGUF file"):
            gguf.read(path)


WRITTEN = SHAPES | {
    "qwen2": replace(LLAMA, qkv_bias=True),
    "qwen3": replace(LLAMA, qk_norm=True, head_size=128, tied=False),
    "linear": replace(LLAMA, rope_scaling=LinearScaling(4.0)),
    "smollm3": replace(LLAMA, num_layers=5, nope_layers=(3,)),
    "gemma": GEMMA,
    "gemma2": replace(
        GEMMA,
        num_layers=3,
        post_norms=True,
        attention_softcap=20.0,
        logit_softcap=30.0,
        sliding_window=8,
        global_layers=(1,),
    ),
    "yarn": replace(LLAMA, rope_scaling=YarnScaling(4.0, 16, YarnScaling.default_attention_factor(4.0))),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "q8_0"])
@pytest.mark.parametrize("name", list(WRITTEN))
@torch.inference_mode()
def test_written_files_are_read_exactly(name: str, dtype: str, tmp_path: Path) -> None:
    """Vectors and values that the dtype has are exact; with Q8_0, also what is read and written again."""
    model = random_model(WRITTEN[name])
    if model.config.zero_centered_norm:  # stored with 1 added, which rounds other values
        for norm in (each for key, each in model.state_dict().items() if key.endswith("norm.weight")):
            norm.copy_((norm - 1).mul(64).round().div(64))
    if dtype in ("float16", "bfloat16"):
        kind = getattr(torch, dtype)
        for weight in model.state_dict().values():
            weight.copy_(weight.to(kind))
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    gguf_writer.write(first, model.config, model.state_dict(), {}, dtype, "model")
    found = gguf.read(first)
    assert found.config == model.config
    assert found.state.keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        tolerance = 0.01 if dtype == "q8_0" and weight.ndim == 2 else 0
        torch.testing.assert_close(found.state[name], weight, atol=tolerance, rtol=0)
    gguf_writer.write(second, found.config, found.state, {}, dtype, "model")
    assert second.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("name", ["qwen2", "qwen3"])
@torch.inference_mode()
def test_written_files_equal_transformers(name: str, tmp_path: Path) -> None:
    model = random_model(WRITTEN[name])
    words = {"tokenizer.ggml.tokens": [f"<{number}>" for number in range(96)]}
    gguf_writer.write(tmp_path / "model.gguf", model.config, model.state_dict(), words, "float32", "model")
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf")
    torch.testing.assert_close(model(tokens()), peer(tokens()).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"sliding_window": 8},
        {"nope_layers": (1,)},
        {"post_norms": True},
        {"zero_centered_norm": True},
        {"zero_centered_norm": True, "activation": "geglu", "embedding_scale": 8.0, "tied": False},
        {"zero_centered_norm": True, "activation": "geglu", "embedding_scale": 8.0, "post_norms": True},
        {"qk_norm": True, "qkv_bias": True, "norm": "layer"},
        {"qk_norm": True, "qkv_bias": True, "output_bias": True},
        {"num_layers": 4, "nope_layers": (3,), "feed_forward_bias": True},
        {"num_layers": 4, "nope_layers": (3,), "qkv_bias": True, "output_bias": True},
        {"logit_softcap": 2.0},
        {"rope_scaling": YarnScaling(4.0, 16, 2.0)},
        {"rope_scaling": replace(gguf.LLAMA3_SCALINGS[0], factor=3.0)},
    ],
)
def test_architectures_that_llama_cpp_lacks_are_not_written(change: dict[str, Any]) -> None:
    with pytest.raises(
        ModelError, match=r"export a Hugging Face folder|import the model's Hugging Face"
    ) as caught:
        gguf_writer.metadata(replace(LLAMA, **change))
    assert "\n" not in str(caught.value)


def test_tensors_of_gemma_and_smollm3_are_those_of_llama_cpp(tmp_path: Path) -> None:
    """Norms are what values are multiplied by; SmolLM3's queries and keys are reordered, Gemma's are not."""
    for name in ("smollm3", "gemma", "gemma2"):
        model = random_model(WRITTEN[name])
        state, size = model.state_dict(), model.config.head_size
        gguf_writer.write(tmp_path / name, model.config, state, {}, "float32", name)
        reader = gguf_package.GGUFReader(tmp_path / name)
        found = {each.name: torch.from_numpy(each.data.copy()) for each in reader.tensors}
        offset = 0 if name == "smollm3" else 1
        for norm, own in (("output_norm", "norm"), ("blk.1.ffn_norm", "blocks.1.feed_forward_norm")):
            assert torch.equal(found[f"{norm}.weight"], state[f"{own}.weight"] + offset)
        query = state["blocks.1.attention.query.weight"]
        assert torch.equal(
            found["blk.1.attn_q.weight"], permuted(query, size) if name == "smollm3" else query
        )
        if name == "gemma2":
            post = state["blocks.2.feed_forward_post_norm.weight"]
            assert torch.equal(found["blk.2.post_ffw_norm.weight"], post + 1)
            fields = {key: field.contents() for key, field in reader.fields.items()}
            assert fields["gemma2.attention.sliding_window"] == 8
            assert fields["gemma2.attn_logit_softcapping"] == 20.0


def test_gemma2_is_read_with_llama_cpp_defaults() -> None:
    values = gguf_writer.metadata(WRITTEN["gemma2"])
    described = ("attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping")
    absent = {key: value for key, value in values.items() if not key.endswith(described)}
    embedding = {gguf.EMBEDDING: torch.empty(96, 64)}
    found = gguf.read_config(Path("x"), absent, embedding)
    assert (found.sliding_window, found.attention_softcap, found.logit_softcap) == (4096, 50.0, 30.0)
    assert (found.global_layers, found.query_scalar) == ((1,), 0.0)
    size = {f"gemma2.{key}": 128 for key in ("attention.key_length", "rope.dimension_count")}
    largest = {"gemma2.block_count": 46, **size}
    assert gguf.read_config(Path("x"), absent | largest, embedding).query_scalar == 16.0
    with pytest.raises(
        ModelError, match=r"gemma2\.attention\.sliding_window_pattern = 6; only 2 is supported"
    ):
        gguf.read_config(Path("x"), absent | {"gemma2.attention.sliding_window_pattern": 6}, embedding)


def test_weights_beyond_float16_are_refused() -> None:
    model = random_model(LLAMA)
    gguf_writer.check_range(model.state_dict(), "float16")
    model.embedding.weight[0, 0] = 1e5
    gguf_writer.check_range(model.state_dict(), "bfloat16")
    with pytest.raises(ModelError, match=r"embedding\.weight: has weights too large for float16"):
        gguf_writer.check_range(model.state_dict(), "float16")
