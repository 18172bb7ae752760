import json
from dataclasses import asdict, replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from model.config import (
    LinearScaling,
    Llama3Scaling,
    TransformerConfig,
    YarnScaling,
    default_intermediate_size,
)
from model.transformer import Transformer


def config(kv_heads: int = 2, tied: bool = True) -> TransformerConfig:
    return TransformerConfig(
        50, num_layers=3, hidden_size=32, num_heads=4, num_kv_heads=kv_heads, intermediate_size=48, tied=tied
    )


@st.composite
def configurations(draw: st.DrawFn) -> TransformerConfig:
    """Draw any combination of fields, also such that no family has."""
    flag, layers = st.booleans(), st.lists(st.integers(0, 2), unique=True).map(tuple)
    scalings = [
        None,
        LinearScaling(2.0),
        Llama3Scaling(8.0, 1.0, 4.0, 8192),
        YarnScaling(4.0, 64, YarnScaling.default_attention_factor(4.0)),
    ]
    return TransformerConfig(
        50,
        num_layers=3,
        hidden_size=32,
        num_heads=4,
        num_kv_heads=draw(st.sampled_from([1, 2, 4])),
        intermediate_size=48,
        tied=draw(flag),
        head_size=draw(st.sampled_from([0, 8, 12])),
        context=16,
        norm=draw(st.sampled_from(["rms", "layer"])),
        zero_centered_norm=draw(flag),
        post_norms=draw(flag),
        qk_norm=draw(flag),
        positions=draw(st.sampled_from(["rotary", "learned"])),
        nope_layers=draw(layers),
        sliding_window=draw(st.sampled_from([0, 5])),
        global_layers=draw(layers),
        attention_softcap=draw(st.sampled_from([0.0, 2.0])),
        logit_softcap=draw(st.sampled_from([0.0, 2.0])),
        query_scalar=draw(st.sampled_from([0.0, 20.0])),
        embedding_scale=draw(st.sampled_from([1.0, 2.0])),
        activation=draw(st.sampled_from(["swiglu", "geglu", "gelu"])),
        qkv_bias=draw(flag),
        output_bias=draw(flag),
        feed_forward_bias=draw(flag),
        rope_scaling=draw(st.sampled_from(scalings)),
    )


@given(configurations())
@settings(max_examples=50)
def test_dictionaries_round_trip(expected: TransformerConfig) -> None:
    assert TransformerConfig.from_dict(json.loads(json.dumps(asdict(expected)))) == expected


@given(configurations())
@settings(max_examples=15, deadline=None)
def test_counts_of_all_combinations(shape: TransformerConfig) -> None:
    model, tokens = Transformer(shape), torch.zeros(2, 16, dtype=torch.long)
    assert shape.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    block = model.blocks[0]
    assert shape.block_parameters == sum(parameter.numel() for parameter in block.parameters())
    counter = FlopCounterMode(display=False)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), counter:
        model(tokens).sum().backward()
    # The counter counts all scores, also those outside of windows.
    everywhere = replace(shape, sliding_window=0, global_layers=())
    assert counter.get_total_flops() == everywhere.training_flops(16) * 2 * 16


def test_field_names_of_version_0_1_are_read() -> None:
    values = asdict(config())
    old_names = {
        "num_layers": "layers",
        "hidden_size": "width",
        "num_heads": "heads",
        "num_kv_heads": "kv_heads",
        "intermediate_size": "hidden",
    }
    old_values = {old_names.get(name, name): value for name, value in values.items()}
    assert old_values.keys() != values.keys()
    assert TransformerConfig.from_dict(old_values) == config()


def test_training_flops() -> None:
    shape, length = config(), 16
    model = Transformer(shape)
    counter = FlopCounterMode(display=False)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), counter:
        model(torch.zeros(2, length, dtype=torch.long)).sum().backward()
    assert counter.get_total_flops() == shape.training_flops(length) * 2 * length


def test_training_flops_of_windows() -> None:
    shape, length = replace(config(), num_layers=3), 16
    local = replace(shape, sliding_window=5, global_layers=(2,))
    saved = shape.training_flops(length) - local.training_flops(length)
    assert saved == 12 * shape.num_heads * shape.head_size * 2 * (16 - 5)
    assert local.training_flops(4) == shape.training_flops(4)


def test_default_intermediate_size() -> None:
    assert [default_intermediate_size(width) for width in (64, 192, 768, 4096)] == [192, 512, 2048, 10944]
