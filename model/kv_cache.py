"""Key-value caches: store the keys and values of past tokens, so that each is computed once.

Shapes: B sequences, T tokens, S keys, K key-value heads, D head size.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import TransformerConfig

INITIAL_CAPACITY = 256
"""Tokens per sequence that a :class:`SlotKVCache` allocates at first."""


class Cache(Protocol):
    """Interface between the model and its cache, for one forward pass.

    The model calls :meth:`positions_and_mask`, then :meth:`update` once per layer, then :meth:`advance`.
    """

    def positions_and_mask(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """Return positions of the next ``tokens`` tokens, int64 ``[B or 1, T]``, and the attention mask.

        The mask, ``[B or 1, 1, T, S]``, is boolean or added to the scores; None: causal.
        """

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append ``[B, K, T, D]`` to a layer; return all its keys and values, ``[B, K, S, D]``."""

    def advance(self, tokens: int) -> None:
        """Mark ``tokens`` more tokens as valid, after all layers were updated."""


class KVCache:
    """Cache for a batch of sequences of equal length.

    Keys and values are ``[layers, B, K, capacity, D]``; the first ``length`` tokens are valid.
    """

    def __init__(
        self,
        config: TransformerConfig,
        capacity: int,
        batch_size: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_layers, batch_size, config.num_kv_heads, capacity, config.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Maximum number of tokens per sequence."""
        return self.keys.shape[3]

    def positions_and_mask(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """See :class:`Cache`; no mask while the cache is empty."""
        end = self.length + tokens
        positions = torch.arange(self.length, end, device=self.keys.device)[None]
        if not self.length:
            return positions, None
        keys = torch.arange(end, device=self.keys.device)
        return positions, (keys <= positions[..., None])[:, None]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Cache`."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        """See :class:`Cache`."""
        self.length += tokens


class SlotKVCache:
    """Cache for sequences that start and end independently, each in one of ``slots`` slots.

    Keys and values are ``[layers, slots, K, allocated, D]``. ``lengths`` holds the number of valid tokens of
    each slot; later positions are stale or zero. The allocation doubles as sequences grow, up to
    ``capacity`` tokens.
    """

    def __init__(
        self, config: TransformerConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.capacity = capacity
        self.lengths = [0] * slots
        allocated = min(INITIAL_CAPACITY, capacity)
        shape = (config.num_layers, slots, config.num_kv_heads, allocated, config.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    def view(self, first: int, count: int) -> "SlotView":
        """Return slots ``first`` to ``first + count - 1`` as a cache for one forward pass."""
        return SlotView(self, first, count)

    def move(self, source: int, target: int) -> None:
        """Move the sequence in slot ``source`` to slot ``target``, replacing its content."""
        length = self.lengths[source]
        for stored in (self.keys, self.values):
            stored[:, target, :, :length] = stored[:, source, :, :length]
        self.lengths[target] = length
        self.lengths[source] = 0

    def clear(self, slot: int) -> None:
        """Erase a slot. Attention hides stale positions, except those with values that are not finite."""
        for stored in (self.keys, self.values):
            stored[:, slot] = 0
        self.lengths[slot] = 0

    def reserve(self, tokens: int) -> None:
        """Allocate memory for sequences of ``tokens`` tokens."""
        allocated = self.keys.shape[3]
        if tokens > allocated:
            more = min(max(2 * allocated, tokens), self.capacity) - allocated
            self.keys, self.values = (F.pad(stored, (0, 0, 0, more)) for stored in (self.keys, self.values))


class SlotView:
    """Adjacent slots of a :class:`SlotKVCache`; each sequence continues at its own length."""

    def __init__(self, cache: SlotKVCache, first: int, count: int) -> None:
        self._cache = cache
        self._slots = slice(first, first + count)
        device = cache.keys.device
        self._slot_indices = torch.arange(first, first + count, device=device)[:, None]
        self._lengths = torch.tensor(cache.lengths[self._slots], device=device)[:, None]
        self._max_length = max(cache.lengths[self._slots])

    def positions_and_mask(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """See :class:`Cache`; no mask while all sequences are empty."""
        end = self._max_length + tokens
        self._cache.reserve(end)
        device = self._lengths.device
        self._positions = self._lengths + torch.arange(tokens, device=device)
        if not self._max_length:
            return self._positions, None
        hidden = torch.arange(end, device=device) > self._positions[..., None]
        # Additive: attention would convert a boolean mask again in every layer.
        mask = torch.zeros(hidden.shape, dtype=self._cache.keys.dtype, device=device)
        return self._positions, mask.masked_fill_(hidden, -torch.inf)[:, None]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Cache`."""
        end = self._max_length + keys.shape[2]
        layer_keys, layer_values = self._cache.keys[layer], self._cache.values[layer]
        for stored, new in ((layer_keys, keys), (layer_values, values)):
            stored[self._slot_indices, :, self._positions] = new.transpose(1, 2)
        return layer_keys[self._slots, :, :end], layer_values[self._slots, :, :end]

    def advance(self, tokens: int) -> None:
        """See :class:`Cache`."""
        lengths = self._cache.lengths
        lengths[self._slots] = [length + tokens for length in lengths[self._slots]]
