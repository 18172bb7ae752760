"""Keys and values of the tokens that a model has already read, so that each is computed once."""

import torch
from torch import Tensor

from model.config import ModelConfig


class KVCache:
    """Room for ``capacity`` tokens of ``batch`` sequences, ``[layer, n, kv_heads, capacity, d]``.

    ``length`` tokens are valid. The model asks where the next ones stand, extends every
    layer and advances.
    """

    def __init__(
        self,
        config: ModelConfig,
        capacity: int,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.layers, batch, config.kv_heads, capacity, config.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self.keys.shape[3]

    def place(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """Positions of the next ``tokens`` tokens, int64 ``[1, t]``, and the mask of who may look at whom.

        The mask is ``[1, 1, t, keys]``; None while the cache is empty: plain causal.
        """
        end = self.length + tokens
        positions = torch.arange(self.length, end, device=self.keys.device)[None]
        if not self.length:
            return positions, None
        keys = torch.arange(end, device=self.keys.device)
        return positions, (keys <= positions[..., None])[:, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store ``[n, kv_heads, t, d]`` behind the valid tokens; everything up to there, for attention."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` more as valid, once every layer has stored them."""
        self.length += tokens
