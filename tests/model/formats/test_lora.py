"""LoRA layers and adapter files, compared with the ``peft`` package."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM

from core.errors import ModelError
from model.config import TransformerConfig
from model.formats import adapter, huggingface, lora
from model.transformer import Transformer

# Warnings that peft causes itself: a deprecated attribute, and a setting that it corrects.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False"),
]

TOKENS = torch.arange(24).view(2, 12)
LLAMA_SHAPE = TransformerConfig(
    40, num_layers=2, hidden_size=32, num_heads=4, num_kv_heads=2, intermediate_size=48, tied=False
)
GPT2_SHAPE = TransformerConfig(
    40, num_layers=2, hidden_size=32, num_heads=4, num_kv_heads=4, intermediate_size=64
).as_gpt2(16)
SHAPES = {"llama": LLAMA_SHAPE, "gpt2": GPT2_SHAPE}


def ours(family: str) -> Transformer:
    torch.manual_seed(1)
    return Transformer(SHAPES[family]).eval()


def theirs(model: Transformer, folder: Path) -> Any:
    """Return the same model as a transformers model."""
    folder.mkdir()
    huggingface.write(folder, model.config, model.state_dict(), {"eos_token_id": 2})
    found: Any = AutoModelForCausalLM.from_pretrained(folder)
    return found.eval()


def adapted(model: Transformer, targets: tuple[str, ...] = ()) -> Transformer:
    """Return a copy with random adapters."""
    result = copy.deepcopy(model)
    lora.attach(result, rank=3, alpha=8, dropout=0.0, targets=targets)
    for name, parameter in result.named_parameters():
        if parameter.requires_grad:
            generator = torch.Generator().manual_seed(len(name))
            parameter.data = torch.empty(parameter.shape).normal_(0, 0.3, generator=generator)
    return result


def adapter_parameters(model: Transformer) -> dict[str, Tensor]:
    """Return the parameters that :func:`lora.attach` added."""
    suffixes = (".lora_a", ".lora_b")
    return {name: value.detach() for name, value in model.named_parameters() if name.endswith(suffixes)}


def test_initial_adapter_does_not_change_the_model() -> None:
    model = ours("llama")
    fresh = copy.deepcopy(model)
    lora.attach(fresh, rank=3, alpha=8, dropout=0.5)
    for name, parameter in fresh.named_parameters():
        if parameter.requires_grad:
            parameter.data = lora.initial_weight(name, parameter.shape, torch.Generator().manual_seed(1))
    assert torch.equal(fresh(TOKENS), model(TOKENS))
    assert {name.rpartition(".")[2] for name in adapter_parameters(fresh)} == {"lora_a", "lora_b"}
    assert len(adapter_parameters(fresh)) == 2 * 7 * 2
    trained = [name for name, parameter in fresh.named_parameters() if parameter.requires_grad]
    assert trained == list(adapter_parameters(fresh))


def test_dropout_applies_only_in_training() -> None:
    model = copy.deepcopy(ours("llama"))
    lora.attach(model, rank=3, alpha=8, dropout=0.5)
    for parameter in adapter_parameters(model).values():
        parameter.fill_(0.1)
    assert torch.equal(model(TOKENS), model(TOKENS))
    model.train()
    assert not torch.equal(model(TOKENS), model(TOKENS))


@pytest.mark.parametrize("family", SHAPES)
def test_merging_preserves_outputs(family: str) -> None:
    model = adapted(ours(family))
    expected = model(TOKENS)
    assert not torch.allclose(expected, ours(family)(TOKENS), atol=0.1)
    lora.merge(model)
    assert not adapter_parameters(model)
    assert model.state_dict().keys() == ours(family).state_dict().keys()
    torch.testing.assert_close(model(TOKENS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        ("llama", ()),
        ("llama", ("query", "down")),
        ("gpt2", ()),
        ("gpt2", ("query", "value", "output")),
    ],
)
def test_written_adapters_are_read_by_peft(family: str, targets: tuple[str, ...], tmp_path: Path) -> None:
    model = adapted(ours(family), targets)
    lora.write(str(tmp_path), model, base="somewhere")
    expected = model(TOKENS)
    peft = PeftModel.from_pretrained(theirs(ours(family), tmp_path / "base"), str(tmp_path))
    torch.testing.assert_close(peft(TOKENS).logits, expected, atol=1e-5, rtol=1e-5)
    found = adapter.read(str(tmp_path))
    assert found.base == "somewhere"
    assert {path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()} == {
        (tmp_path / adapter.CONFIG).stat().st_mode
    }
    again = ours(family)
    adapter.apply(again, found)
    torch.testing.assert_close(again(TOKENS), expected, atol=1e-5, rtol=1e-5)


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(
        ModelError, match="q_proj: no layer of this model has that name; choose from query, k"
    ):
        lora.attach(ours("llama"), rank=2, alpha=2, dropout=0, targets=["query", "q_proj"])
    with pytest.raises(ModelError, match="gate: no layer"):
        lora.attach(ours("gpt2"), rank=2, alpha=2, dropout=0, targets=["gate"])
