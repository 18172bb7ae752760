import math
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.attention import limit_to_window
from model.config import TransformerConfig
from model.document_attention import document_mask, document_positions
from model.kv_cache import KVCache
from model.recomputation import ActivationCheckpointing
from model.transformer import Transformer, initial_weight


def config(kv_heads: int = 2, tied: bool = True) -> TransformerConfig:
    return TransformerConfig(
        50, num_layers=3, hidden_size=32, num_heads=4, num_kv_heads=kv_heads, intermediate_size=48, tied=tied
    )


def fresh(shape: TransformerConfig, scale: float = 8.0) -> Transformer:
    """Return a model with weights large enough for attention to matter."""
    model = Transformer(shape)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        value = initial_weight(shape, name, parameter.shape, generator)
        parameter.data.copy_(value * (1 if "norm" in name else scale))
    return model


def by_hand(model: Transformer, tokens: list[int]) -> Tensor:
    """Compute the logits one position and one head at a time, by the papers' formulas."""
    shape, weight = model.config, dict(model.named_parameters())
    size = shape.head_size

    def norm(x: Tensor, name: str) -> Tensor:
        return x / (x.pow(2).mean() + shape.norm_epsilon).sqrt() * weight[name]

    def turn(x: Tensor, position: int) -> Tensor:
        result = x.clone()
        for pair in range(size // 2):
            angle = position * shape.rope_theta ** (-2 * pair / size)
            a, b = x[pair], x[pair + size // 2]
            result[pair] = a * math.cos(angle) - b * math.sin(angle)
            result[pair + size // 2] = b * math.cos(angle) + a * math.sin(angle)
        return result

    xs = [weight["embedding.weight"][token] for token in tokens]
    for layer in range(shape.num_layers):
        prefix = f"blocks.{layer}"
        inner = [norm(x, f"{prefix}.attention_norm.weight") for x in xs]
        parts = {
            name: [(weight[f"{prefix}.attention.{name}.weight"] @ x).view(-1, size) for x in inner]
            for name in ("query", "key", "value")
        }
        mixed = []
        for at in range(len(tokens)):
            heads = []
            for head in range(shape.num_heads):
                group = head * shape.num_kv_heads // shape.num_heads
                query = turn(parts["query"][at][head], at)
                scores = [query @ turn(parts["key"][j][group], j) / math.sqrt(size) for j in range(at + 1)]
                chances = torch.stack(scores).softmax(0)
                heads.append(sum(chances[j] * parts["value"][j][group] for j in range(at + 1)))
            mixed.append(weight[f"{prefix}.attention.output.weight"] @ torch.cat(heads))
        xs = [x + more for x, more in zip(xs, mixed, strict=True)]
        for at, x in enumerate(xs):
            y = norm(x, f"{prefix}.feed_forward_norm.weight")
            gate, up, down = (
                weight[f"{prefix}.feed_forward.{name}.weight"] for name in ("gate", "up", "down")
            )
            xs[at] = x + down @ (F.silu(gate @ y) * (up @ y))
    matrix = weight["embedding.weight" if shape.tied else "output.weight"]
    return torch.stack([matrix @ norm(x, "norm.weight") for x in xs])


@pytest.mark.parametrize(("kv_heads", "tied"), [(4, True), (2, False), (1, True)])
def test_logits_equal_a_plain_implementation(kv_heads: int, tied: bool) -> None:
    model = fresh(config(kv_heads, tied))
    tokens = torch.randint(50, (9,), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(
            model(tokens[None])[0], by_hand(model, tokens.tolist()), atol=1e-5, rtol=1e-5
        )


def test_logits_of_one_position_of_each_row() -> None:
    model, tokens = fresh(config()), torch.randint(50, (3, 7), generator=torch.Generator().manual_seed(2))
    at = torch.tensor([6, 0, 3])
    with torch.no_grad():
        every, found = model(tokens), model(tokens, at=at)
    assert found.shape == (3, 50)
    torch.testing.assert_close(found, torch.stack([every[row, place] for row, place in enumerate(at)]))


def test_packed_documents_do_not_attend_to_each_other() -> None:
    model = fresh(config())
    lengths = [7, 1, 12, 4]
    tokens = torch.randint(50, (2, sum(lengths)), generator=torch.Generator().manual_seed(3))
    numbers = torch.tensor([5, 9, 2, -1]).repeat_interleave(torch.tensor(lengths))
    with torch.no_grad():
        packed = model(tokens, numbers.expand(2, -1))
        alone = torch.cat([model(part) for part in tokens.split(lengths, dim=1)], dim=1)
        together = model(tokens)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(together, alone, atol=1e-2)


VARIANT = {
    "num_layers": 3,
    "qk_norm": True,
    "sliding_window": 5,
    "global_layers": (1,),
    "nope_layers": (2,),
    "attention_softcap": 4.0,
    "logit_softcap": 3.0,
}


def test_variants_equal_packed_and_alone() -> None:
    model = fresh(replace(config(), **VARIANT))
    lengths = [11, 1, 12]
    tokens = torch.randint(50, (2, sum(lengths)), generator=torch.Generator().manual_seed(3))
    numbers = torch.tensor([5, 9, 2]).repeat_interleave(torch.tensor(lengths))
    with torch.no_grad():
        packed = model(tokens, numbers.expand(2, -1))
        alone = torch.cat([model(part) for part in tokens.split(lengths, dim=1)], dim=1)
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)
    assert 2 < packed.abs().max() < 3


def test_tokens_outside_the_window_have_no_influence() -> None:
    """Two layers with a window of 5 see 9 tokens; a global layer among them sees all."""
    tokens = torch.randint(50, (1, 20), generator=torch.Generator().manual_seed(5))
    changed = tokens.clone()
    changed[0, 0] = (tokens[0, 0] + 1) % 50
    for global_layers, influenced in (((), 9), ((1,), 20)):
        shape = replace(config(), num_layers=2, sliding_window=5, global_layers=global_layers)
        with torch.no_grad():
            differs = (fresh(shape)(tokens) != fresh(shape)(changed)).any(dim=2)[0]
        assert differs.nonzero().flatten().tolist() == list(range(influenced))


def test_windows_of_all_kinds_of_masks() -> None:
    queries = torch.arange(6)[None]
    expected = torch.ones(6, 6, dtype=torch.bool).tril().triu(-2)
    causal = torch.ones(1, 1, 6, 6, dtype=torch.bool).tril()
    added = torch.zeros(1, 1, 6, 6).masked_fill(~causal, -torch.inf)
    assert limit_to_window(causal, queries, 6) is causal
    for mask in (None, causal, added):
        limited = limit_to_window(mask, queries, 3)
        assert limited is not None
        allowed = limited if limited.dtype == torch.bool else limited == 0
        assert torch.equal(allowed[0, 0], expected)


def test_positions_restart_and_mask_is_block_diagonal() -> None:
    documents = torch.tensor([[3, 3, 3, 4, 4, -1]])
    assert document_positions(documents).tolist() == [[0, 1, 2, 0, 1, 0]]
    blocks = torch.block_diag(torch.ones(3, 3).tril(), torch.ones(2, 2).tril(), torch.ones(1, 1))
    assert torch.equal(document_mask(documents)[0, 0], blocks.bool())


def test_cached_logits_equal_uncached_logits() -> None:
    model = fresh(config())
    tokens = torch.randint(50, (2, 20), generator=torch.Generator().manual_seed(4))
    cache = KVCache(model.config, 20, batch_size=2)
    with torch.no_grad():
        parts = [model(part, cache=cache) for part in tokens.split([8, 1, 1, 6, 4], dim=1)]
        torch.testing.assert_close(torch.cat(parts, dim=1), model(tokens), atol=1e-5, rtol=1e-5)
    assert cache.length == cache.capacity == 20


@pytest.mark.parametrize("mode", ["selective", "full"])
@pytest.mark.parametrize("shape", [config(), replace(config(kv_heads=4), dropout=0.2).as_gpt2(16)])
def test_activation_checkpointing_gives_the_same_gradients(
    mode: ActivationCheckpointing, shape: TransformerConfig
) -> None:
    tokens = torch.arange(12).view(1, -1)
    gradients = []
    for each in ("none", mode):
        model = fresh(shape)
        model.activation_checkpointing = each
        torch.manual_seed(1)
        model(tokens).square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1], atol=0, rtol=0)


def test_dropout_is_applied_in_training_only() -> None:
    shape = replace(config(), dropout=0.5)
    model, plain = fresh(shape), fresh(config())
    tokens = torch.arange(12).view(1, -1)
    assert torch.equal(model.eval()(tokens), plain(tokens))
    model.train()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(model(tokens))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_dropout_is_applied_in_the_places_of_gpt2() -> None:
    """Every place scales what it keeps, so that expectations stay as they are."""
    shape = replace(config(kv_heads=4), num_layers=1, dropout=0.3).as_gpt2(16)
    model = Transformer(shape)
    found: list[tuple[str, float]] = []

    def record(name: str, layer: nn.Module) -> None:
        layer.register_forward_hook(
            lambda _, inputs, output: found.append((name, float((output == 0).double().mean())))
        )

    record("embedding", model.dropout)
    record("residual", model.blocks[0].dropout)
    with patch.object(F, "scaled_dot_product_attention", wraps=F.scaled_dot_product_attention) as attention:
        model(torch.randint(50, (64, 16)))
    assert [name for name, _ in found] == ["embedding", "residual", "residual"]
    assert all(share == pytest.approx(0.3, abs=0.03) for _, share in found)
    assert attention.call_args.kwargs["dropout_p"] == 0.3


def test_residual_projections_are_scaled_down_by_depth() -> None:
    shape, generator = config(), torch.Generator().manual_seed(0)
    wide = torch.Size([400, 400])
    up = initial_weight(shape, "blocks.0.feed_forward.up.weight", wide, generator).std()
    for name in ("blocks.0.feed_forward.down.weight", "blocks.1.attention.output.weight"):
        down = initial_weight(shape, name, wide, generator).std()
        assert up / down == pytest.approx(math.sqrt(2 * shape.num_layers), rel=0.02)
    assert torch.equal(initial_weight(shape, "norm.weight", torch.Size([5]), generator), torch.ones(5))
