from dataclasses import asdict

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from model.config import Llama3Scaling, TransformerConfig, default_intermediate_size
from model.transformer import Transformer


def config(kv_heads: int = 2, tied: bool = True) -> TransformerConfig:
    return TransformerConfig(
        50, num_layers=3, hidden_size=32, num_heads=4, num_kv_heads=kv_heads, intermediate_size=48, tied=tied
    )


def test_dictionaries_round_trip() -> None:
    scaled = TransformerConfig(50, 3, 32, 4, 2, 48, rope_scaling=Llama3Scaling(8.0, 1.0, 4.0, 8192))
    for expected in (config(), scaled):
        assert TransformerConfig.from_dict(asdict(expected)) == expected


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


@pytest.mark.parametrize(("kv_heads", "tied"), [(4, True), (1, False)])
def test_num_parameters(kv_heads: int, tied: bool) -> None:
    shape = config(kv_heads, tied)
    assert shape.num_parameters == sum(parameter.numel() for parameter in Transformer(shape).parameters())


def test_training_flops() -> None:
    shape, length = config(), 16
    model = Transformer(shape)
    counter = FlopCounterMode(display=False)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), counter:
        model(torch.zeros(2, length, dtype=torch.long)).sum().backward()
    assert counter.get_total_flops() == shape.training_flops(length) * 2 * length


def test_default_intermediate_size() -> None:
    assert [default_intermediate_size(width) for width in (64, 192, 768, 4096)] == [192, 512, 2048, 10944]
