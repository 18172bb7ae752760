"""LoRA layers and adapter files, compared with the ``peft`` package."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM

from core.errors import ModelError
from model.config import TransformerConfig
from model.formats import huggingface, lora
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
    40,
    num_layers=2,
    hidden_size=32,
    num_heads=4,
    num_kv_heads=4,
    intermediate_size=64,
    context=16,
    norm="layer",
    positions="learned",
    activation="gelu",
    qkv_bias=True,
    output_bias=True,
    feed_forward_bias=True,
)
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
    adapter = lora.read(str(tmp_path))
    assert adapter.base == "somewhere"
    assert {path.stat().st_mode for path in tmp_path.iterdir() if path.is_file()} == {
        (tmp_path / lora.CONFIG).stat().st_mode
    }
    again = ours(family)
    lora.apply(again, adapter)
    torch.testing.assert_close(again(TOKENS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("family", "targets", "patterns"),
    [
        ("llama", ["q_proj", "up_proj"], {}),
        ("llama", "all-linear", {"rank_pattern": {"q_proj": 5}, "alpha_pattern": {"q_proj": 7}}),
        ("gpt2", ["c_attn", "mlp.c_proj"], {}),
    ],
)
def test_adapters_of_peft_are_read(
    family: str, targets: list[str] | str, patterns: dict[str, Any], tmp_path: Path
) -> None:
    model = ours(family)
    settings = LoraConfig(r=4, lora_alpha=6, target_modules=targets, init_lora_weights=False, **patterns)
    torch.manual_seed(2)
    peft: Any = get_peft_model(theirs(model, tmp_path / "base"), settings)
    peft.save_pretrained(str(tmp_path))
    expected = peft.eval()(TOKENS).logits
    assert not torch.allclose(expected, model(TOKENS), atol=1e-3)
    lora.apply(model, lora.read(str(tmp_path)))
    torch.testing.assert_close(model(TOKENS), expected, atol=1e-5, rtol=1e-5)


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(
        ModelError, match="q_proj: no layer of this model has that name; choose from query, k"
    ):
        lora.attach(ours("llama"), rank=2, alpha=2, dropout=0, targets=["query", "q_proj"])
    with pytest.raises(ModelError, match="gate: no layer"):
        lora.attach(ours("gpt2"), rank=2, alpha=2, dropout=0, targets=["gate"])


def test_missing_unsupported_and_damaged_adapters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must hold a readable adapter_config\.json"):
        lora.read(str(tmp_path))
    lora.write(str(tmp_path), adapted(ours("llama")), base="")
    path = tmp_path / lora.CONFIG
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"use_dora": True}))
    with pytest.raises(ModelError, match="use_dora = True: only plain LoRA is supported"):
        lora.read(str(tmp_path))
    path.write_text(json.dumps(settings))
    other = ours("gpt2")
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(ModelError, match="fit no layer of the model"):
        lora.apply(other, lora.read(str(tmp_path)))
    assert all(torch.equal(weight, before[name]) for name, weight in other.state_dict().items())
    weights = tmp_path / lora.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ModelError, match="must hold a readable"):
        lora.read(str(tmp_path))
