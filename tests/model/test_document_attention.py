"""Attention within documents by the kernels for GPUs, beside a mask of all pairs of tokens."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model import document_attention
from model.attention import Kernel, MaskedAttention, limit_to_window
from model.config import TransformerConfig
from model.document_attention import (
    FlexDocumentAttention,
    VariableLengthAttention,
    document_mask,
    document_starts,
)
from model.recomputation import ActivationCheckpointing
from model.rotary import rotary_embedding
from model.transformer import ForwardContext, Transformer


def masked(document_ids: Tensor, window: int) -> Kernel:
    mask = document_mask(document_ids)
    indices = torch.arange(document_ids.shape[1])[None]
    return MaskedAttention(limit_to_window(mask, indices, window) if window else mask)


def plain_varlen_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_offsets: Tensor,
    key_offsets: Tensor,
    max_query: int,
    max_key: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool,
) -> Tensor:
    """Compute what ``torch.nn.attention.varlen.varlen_attn`` documents, which has no kernel for CPUs."""
    assert query_offsets is key_offsets
    assert max_query == max_key >= int(query_offsets.diff().max())
    assert window_size[1] == 0
    parts = []
    for start, end in zip(query_offsets[:-1].tolist(), query_offsets[1:].tolist(), strict=True):
        one, two, three = (part[start:end].transpose(0, 1) for part in (query, key, value))
        distance = torch.arange(end - start)[:, None] - torch.arange(end - start)
        left = window_size[0] if window_size[0] >= 0 else end
        mask = (distance >= 0) & (distance <= left)
        parts.append(
            F.scaled_dot_product_attention(
                one, two, three, attn_mask=mask, scale=scale, enable_gqa=enable_gqa
            ).transpose(0, 1)
        )
    return torch.cat(parts)


@st.composite
def packed_rows(draw: st.DrawFn) -> Tensor:
    """Draw the documents of two rows, with padding (-1) at their ends."""
    length = draw(st.integers(1, 40))
    rows = []
    for _ in range(2):
        cuts = sorted(draw(st.lists(st.integers(1, length), max_size=5)))
        row = torch.zeros(length, dtype=torch.int32)
        for cut in cuts:
            row[cut:] += 1
        padding = draw(st.integers(0, length))
        row[length - padding :] = -1
        rows.append(row)
    return torch.stack(rows)


@pytest.mark.filterwarnings("ignore:flex_attention called without")  # on GPUs, it is compiled
@pytest.mark.parametrize("kernel", [VariableLengthAttention, FlexDocumentAttention])
@settings(max_examples=12)
@given(document_ids=packed_rows(), window=st.integers(0, 12), kv_heads=st.sampled_from([1, 2, 4]))
def test_kernels_are_as_the_mask(
    kernel: Callable[[Tensor, int], Kernel], document_ids: Tensor, window: int, kv_heads: int
) -> None:
    length = document_ids.shape[1]
    generator = torch.Generator().manual_seed(length)
    query, key, value = (
        torch.randn(2, heads, length, 16, generator=generator) for heads in (4, kv_heads, kv_heads)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(document_attention, "varlen_attn", plain_varlen_attention)
        found = kernel(document_ids, window)(query, key, value, dropout=0.0, scale=0.3, softcap=0.0)
    expected = masked(document_ids, window)(query, key, value, dropout=0.0, scale=0.3, softcap=0.0)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without")
def test_soft_capped_scores() -> None:
    document_ids = torch.tensor([[0] * 9 + [1] * 7])
    query, key, value = (torch.randn(1, heads, 16, 16) for heads in (4, 2, 2))
    found, expected = (
        kernel(query, key, value, dropout=0.0, scale=1.0, softcap=2.0)
        for kernel in (FlexDocumentAttention(document_ids, 5), masked(document_ids, 5))
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_gradients_of_a_model_with_variable_length_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """The offsets and shapes, since the kernel itself has none for CPUs."""
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(50, 2, 32, 4, 2, 64, sliding_window=4))
    tokens = torch.randint(50, (3, 12))
    document_ids = torch.tensor([[0] * 5 + [1] * 7, [0] * 12, [3] * 2 + [0] * 7 + [-1] * 3])

    def gradients() -> list[Tensor]:
        total = model.losses(tokens, tokens, document_ids).total
        return [total.detach(), *torch.autograd.grad(total, model.parameters())]

    expected = gradients()
    used = []

    def choose(document_ids: Tensor, *_: object, window: int = 0, **__: object) -> Kernel:
        used.append(window)
        return VariableLengthAttention(document_ids, window)

    monkeypatch.setattr(document_attention, "varlen_attn", plain_varlen_attention)
    monkeypatch.setattr("model.transformer.document_attention", choose)
    for one, other in zip(gradients(), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert used == [0, 4]


def test_flash_attention_takes_what_it_is_given() -> None:
    """Shapes and dtypes, checked by the operator without computing."""
    document_ids = torch.zeros(2, 16, dtype=torch.int32)
    kernel = VariableLengthAttention(document_ids, 8)
    kernel.offsets = kernel.offsets.to("meta")
    query, key, value = (
        torch.randn(2, heads, 16, 64, device="meta", dtype=torch.bfloat16, requires_grad=True)
        for heads in (4, 2, 2)
    )
    attended = kernel(query, key, value, dropout=0.0, scale=0.1, softcap=0.0)
    assert attended.shape == query.shape
    attended.sum().backward()
    assert key.grad is not None
    assert key.grad.shape == key.shape


@pytest.mark.filterwarnings("ignore:.*context_fn is passed")
@pytest.mark.parametrize("mode", ["none", "selective", "full"])
def test_blocks_with_flash_attention_compile_as_one_graph(mode: ActivationCheckpointing) -> None:
    """Traced without computing, since CPUs have no such kernel."""
    config = TransformerConfig(50, 1, 64, 4, 2, 128)
    kernel = VariableLengthAttention(torch.tensor([[0] * 5 + [1] * 7]))
    kernel.offsets = kernel.offsets.to("meta")
    with torch.device("meta"):
        block = Transformer(config).to(torch.bfloat16).blocks[0]
        rotary = rotary_embedding(torch.arange(12)[None], config)
        x = torch.randn(1, 12, 64, dtype=torch.bfloat16, requires_grad=True)
    compiled = torch.compile(block, backend="eager", fullgraph=True)
    compiled(x, ForwardContext(rotary, kernel, kernel, None, mode)).sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


@given(packed_rows())
def test_offsets_are_the_bounds_of_documents(document_ids: Tensor) -> None:
    offsets = VariableLengthAttention(document_ids).offsets
    assert offsets[-1] == document_ids.numel()
    assert (offsets.diff() > 0).all()
    assert torch.equal(offsets[:-1].long(), document_starts(document_ids).flatten().nonzero().flatten())
    assert set(range(0, document_ids.numel(), document_ids.shape[1])) <= set(offsets.tolist())
