"""Keys and values of the tokens that a model has already read, so that each is computed once."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from model.config import TransformerConfig

FIRST_ROOM = 256
"""Tokens per sequence that a :class:`SlotCache` has room for at first."""


class Cache(Protocol):
    """What the model asks of a cache: where tokens stand, room for them in every layer, and to count them."""

    def place(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """Positions of the next ``tokens`` tokens, int64 ``[1 or n, t]``, and the mask of who looks at whom.

        The mask is ``[1 or n, 1, t, keys]``, true or 0 where a token may look; None: plain causal.
        """

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store ``[n, kv_heads, t, d]`` behind the valid tokens; everything up to there, for attention."""

    def advance(self, tokens: int) -> None:
        """Count ``tokens`` more as valid, once every layer has stored them."""


class KVCache:
    """Room for ``capacity`` tokens of ``batch`` sequences, ``[layer, n, kv_heads, capacity, d]``.

    ``length`` tokens are valid. The model asks where the next ones stand, extends every
    layer and advances.
    """

    def __init__(
        self,
        config: TransformerConfig,
        capacity: int,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_layers, batch, config.num_kv_heads, capacity, config.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self.keys.shape[3]

    def place(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """As in :class:`Cache`; no mask while the cache is empty."""
        end = self.length + tokens
        positions = torch.arange(self.length, end, device=self.keys.device)[None]
        if not self.length:
            return positions, None
        keys = torch.arange(end, device=self.keys.device)
        return positions, (keys <= positions[..., None])[:, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As in :class:`Cache`."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        """As in :class:`Cache`."""
        self.length += tokens


class SlotCache:
    """Room for ``slots`` sequences that begin, grow and end each at its own time.

    Keys and values are ``[layer, slot, kv_heads, room, d]``; ``lengths`` counts the valid tokens of each
    slot, what lies beyond is old or zero. Memory is taken as sequences grow: room doubles up to ``capacity``.
    """

    def __init__(
        self, config: TransformerConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.capacity = capacity
        self.lengths = [0] * slots
        shape = (config.num_layers, slots, config.num_kv_heads, min(FIRST_ROOM, capacity), config.head_size)
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    def window(self, first: int, count: int) -> "Window":
        """The ``count`` slots from ``first`` on, as a cache for one forward pass."""
        return Window(self, first, count)

    def move(self, source: int, target: int) -> None:
        """Put the sequence of ``source`` in place of that of ``target``; ``source`` becomes empty."""
        length = self.lengths[source]
        for stored in (self.keys, self.values):
            stored[:, target, :, :length] = stored[:, source, :, :length]
        self.lengths[target] = length
        self.lengths[source] = 0

    def reserve(self, tokens: int) -> None:
        """Make room for sequences of ``tokens`` tokens."""
        room = self.keys.shape[3]
        if tokens > room:
            more = min(max(2 * room, tokens), self.capacity) - room
            self.keys, self.values = (F.pad(stored, (0, 0, 0, more)) for stored in (self.keys, self.values))


class Window:
    """Neighbouring slots of a :class:`SlotCache`; each sequence continues at its own length."""

    def __init__(self, cache: SlotCache, first: int, count: int) -> None:
        self._cache = cache
        self._slots = slice(first, first + count)
        device = cache.keys.device
        self._rows = torch.arange(first, first + count, device=device)[:, None]
        self._starts = torch.tensor(cache.lengths[self._slots], device=device)[:, None]
        self._longest = max(cache.lengths[self._slots])

    def place(self, tokens: int) -> tuple[Tensor, Tensor | None]:
        """As in :class:`Cache`; no mask while all sequences are empty."""
        end = self._longest + tokens
        self._cache.reserve(end)
        device = self._starts.device
        self._positions = self._starts + torch.arange(tokens, device=device)
        if not self._longest:
            return self._positions, None
        hidden = torch.arange(end, device=device) > self._positions[..., None]
        # What is added to scores; made of booleans, it would be made anew in every layer.
        mask = torch.zeros(hidden.shape, dtype=self._cache.keys.dtype, device=device)
        return self._positions, mask.masked_fill_(hidden, -torch.inf)[:, None]

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As in :class:`Cache`."""
        end = self._longest + keys.shape[2]
        held = self._cache.keys[layer], self._cache.values[layer]
        for stored, new in zip(held, (keys, values), strict=True):
            stored[self._rows, :, self._positions] = new.transpose(1, 2)
        return held[0][self._slots, :, :end], held[1][self._slots, :, :end]

    def advance(self, tokens: int) -> None:
        """As in :class:`Cache`."""
        lengths = self._cache.lengths
        lengths[self._slots] = [length + tokens for length in lengths[self._slots]]
