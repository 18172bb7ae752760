"""Keys and values of the tokens that a model has already read, so that each is computed once."""

import torch
from torch import Tensor

from model.config import ModelConfig


class KVCache:
    """Room for ``capacity`` tokens of ``batch`` sequences, ``[layer, n, kv_heads, capacity, d]``.

    ``length`` tokens are valid. The model extends it layer by layer, then moves ``length`` on.
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

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store ``[n, kv_heads, t, d]`` behind the valid tokens; everything up to there, for attention."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]
