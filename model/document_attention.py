"""Attention within packed documents on GPUs, by kernels that skip the keys of other documents.

Shapes: B rows of T tokens, H heads, K key-value heads, D head size.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.attention.varlen import varlen_attn

from model.attention import Kernel, MaskedAttention, limit_to_window, soft_cap

FLASH_CAPABILITY = (8, 0)
"""Oldest CUDA architecture with FlashAttention: Ampere."""
FLASH_HEAD_SIZE = 256


class VariableLengthAttention:
    """FlashAttention over the documents of all rows, one after another (Dao 2023), for 16-bit numbers."""

    def __init__(self, document_ids: Tensor, window: int = 0) -> None:
        starts = document_starts(document_ids).flatten()
        ends = starts.new_ones(1)
        self.offsets = torch.cat((starts, ends)).nonzero().flatten().int()
        """First token of each document among all tokens, and their number; int32 ``[documents + 1]``."""
        self.max_length = document_ids.shape[1]
        self.window_size = (window - 1 if window else -1, 0)

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scale: float, softcap: float
    ) -> Tensor:
        """Return the attended values, ``[B, H, T, D]``; arguments as of :class:`Kernel`."""
        assert not dropout and not softcap
        packed_query, packed_key, packed_value = (
            part.transpose(1, 2).flatten(0, 1) for part in (query, key, value)
        )
        # cuDNN's kernel, which is otherwise preferred on some GPUs, is not deterministic.
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            attended = varlen_attn(
                packed_query,
                packed_key,
                packed_value,
                self.offsets,
                self.offsets,
                self.max_length,
                self.max_length,
                scale=scale,
                window_size=self.window_size,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        assert isinstance(attended, Tensor)  # log-sum-exps were not asked for
        return attended.view(len(query), -1, *attended.shape[1:]).transpose(1, 2)


class FlexDocumentAttention:
    """FlexAttention with a block-sparse mask (Dong et al. 2024), for any dtype and soft-capped scores."""

    def __init__(self, document_ids: Tensor, window: int = 0) -> None:
        rows, length = document_ids.shape
        make = _compiled_block_mask() if document_ids.is_cuda else create_block_mask

        def may_attend(row: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
            same = document_ids[row, query] == document_ids[row, key]
            seen = (query >= key) & same
            return seen & (query - key < window) if window else seen

        self.mask: BlockMask = make(may_attend, rows, None, length, length, device=str(document_ids.device))

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, *, dropout: float, scale: float, softcap: float
    ) -> Tensor:
        """Return the attended values, ``[B, H, T, D]``; arguments as of :class:`Kernel`."""
        assert not dropout

        def cap(score: Tensor, *_: Tensor) -> Tensor:
            return soft_cap(score, softcap)

        attend = _compiled_attention() if query.is_cuda else flex_attention
        attended = attend(
            query,
            key,
            value,
            score_mod=cap if softcap else None,
            block_mask=self.mask,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        assert isinstance(attended, Tensor)  # log-sum-exps were not asked for
        return attended


@cache
def _compiled_attention():  # type: ignore[no-untyped-def]  # the type of flex_attention
    return torch.compile(flex_attention)


@cache
def _compiled_block_mask():  # type: ignore[no-untyped-def]  # the type of create_block_mask
    """Return ``create_block_mask`` without a dense mask in between."""
    return torch.compile(create_block_mask)


def document_attention(
    document_ids: Tensor,
    dtype: torch.dtype,
    head_size: int,
    *,
    window: int = 0,
    softcap: float = 0.0,
    dropout: float = 0.0,
) -> Kernel:
    """Return attention that stays within documents and ``window`` tokens (0: any number).

    ``document_ids``: integers ``[B, T]``. On CUDA there is no mask of all pairs of tokens, except with
    ``dropout``, the dropout of attention weights, which neither of the two kernels has.
    """
    if not document_ids.is_cuda or dropout:
        indices = torch.arange(document_ids.shape[1], device=document_ids.device)[None]
        mask = document_mask(document_ids)
        return MaskedAttention(limit_to_window(mask, indices, window) if window else mask)
    flash = (
        dtype in (torch.float16, torch.bfloat16)
        and not softcap
        and head_size <= FLASH_HEAD_SIZE
        and head_size % 8 == 0
        and torch.cuda.get_device_capability(document_ids.device) >= FLASH_CAPABILITY
    )
    return (VariableLengthAttention if flash else FlexDocumentAttention)(document_ids, window)


def document_starts(document_ids: Tensor) -> Tensor:
    """Return True for the first token of each document in a row, bool ``[B, T]``."""
    is_start = torch.ones_like(document_ids, dtype=torch.bool)
    is_start[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
    return is_start


def document_positions(document_ids: Tensor) -> Tensor:
    """Return the position of each token within its document, int64 ``[B, T]``."""
    index = torch.arange(document_ids.shape[1], device=document_ids.device).expand_as(document_ids)
    return index - torch.where(document_starts(document_ids), index, 0).cummax(dim=1).values


def document_mask(document_ids: Tensor) -> Tensor:
    """Return the block-diagonal causal mask, bool ``[B, 1, T, T]``."""
    same_document = document_ids[:, :, None] == document_ids[:, None, :]
    return same_document.tril()[:, None]
