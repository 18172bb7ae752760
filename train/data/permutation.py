"""Shuffle by a permutation function, without storing a list of rows.

All rows are shuffled, or blocks of consecutive rows and then the rows of a window of blocks, so that few
parts of remote shards are needed at a time.

An alternating Feistel network permutes the smallest grid ``a × b`` that holds ``n`` rows (generalized Feistel
cipher, Black and Rogaway 2002). Results beyond ``n`` are permuted again (cycle walking). Each epoch has its
own keys and therefore its own order.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core.hashing import GOLDEN, mix

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]

ROUNDS = 8


class Shuffle(Protocol):
    """Orders of ``size`` rows, one per epoch."""

    size: int

    def forward(self, positions: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the row at each position (0 … size-1) of each epoch."""

    def inverse(self, rows: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the position of each row in each epoch."""


class Permutation:
    """Pseudorandom orders of ``size`` rows (at least 1), one per epoch, determined by ``key``."""

    def __init__(self, size: int, key: bytes) -> None:
        self.size = size
        width = math.isqrt(size - 1) + 1
        self._width, self._height = np.uint64(width), np.uint64(-(-size // width))
        digest = hashlib.blake2b(key, digest_size=8 * ROUNDS).digest()
        self._round_keys: UInt64Array = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def forward(self, positions: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the row at each position (0 … size-1) of each epoch."""
        return self._walk(positions, epochs, self._forward)

    def inverse(self, rows: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the position of each row in each epoch."""
        return self._walk(rows, epochs, self._inverse)

    def _walk(
        self,
        values: Int64Array,
        epochs: Int64Array,
        step: Callable[[UInt64Array, UInt64Array], UInt64Array],
    ) -> Int64Array:
        """Apply ``step`` until all results are below ``size``."""
        salts = mix(epochs.astype(np.uint64) * GOLDEN)
        result = step(values.astype(np.uint64), salts)
        while (outside := np.flatnonzero(result >= self.size)).size:
            result[outside] = step(result[outside], salts[outside])
        return result.astype(np.int64)

    def _forward(self, values: UInt64Array, salts: UInt64Array) -> UInt64Array:
        width, height = self._width, self._height
        x, y = values % width, values // width
        for index, key in enumerate(self._round_keys):
            if index % 2:
                y = (y + mix(x ^ key ^ salts) % height) % height
            else:
                x = (x + mix(y ^ key ^ salts) % width) % width
        return y * width + x

    def _inverse(self, values: UInt64Array, salts: UInt64Array) -> UInt64Array:
        width, height = self._width, self._height
        x, y = values % width, values // width
        for index, key in reversed(list(enumerate(self._round_keys))):
            if index % 2:
                y = (y + height - mix(x ^ key ^ salts) % height) % height
            else:
                x = (x + width - mix(y ^ key ^ salts) % width) % width
        return y * width + x


class BlockPermutation:
    """Orders in which blocks of consecutive rows are shuffled, and rows within windows of blocks.

    The windows of an epoch follow one another. The last block of rows may be shorter; it has a random place
    like any other.
    """

    def __init__(self, size: int, key: bytes, block: int, window: int) -> None:
        """Create orders of ``size`` rows, with ``block`` rows per block and ``window`` blocks per window."""
        self.size = size
        self._block = block
        self._num_blocks = -(-size // block)
        self._last_block = size - (self._num_blocks - 1) * block
        self._window = min(window * block, size)
        self._num_windows = -(-size // self._window)
        self._last_window = size - (self._num_windows - 1) * self._window
        self._blocks = Permutation(self._num_blocks, key + b"\0blocks")
        self._rows = Permutation(self._window, key + b"\0rows")
        self._rows_of_last = Permutation(self._last_window, key + b"\0rows")

    def forward(self, positions: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the row at each position (0 … size-1) of each epoch."""
        return self._from_places(self._within_windows(positions, epochs, Permutation.forward), epochs)

    def inverse(self, rows: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the position of each row in each epoch."""
        return self._within_windows(self._to_places(rows, epochs), epochs, Permutation.inverse)

    def _within_windows(
        self,
        values: Int64Array,
        epochs: Int64Array,
        step: Callable[[Permutation, Int64Array, Int64Array], Int64Array],
    ) -> Int64Array:
        """Shuffle places within their windows, or undo it."""
        windows, offsets = np.divmod(values, self._window)
        keys = epochs * self._num_windows + windows
        last = windows == self._num_windows - 1
        shuffled = np.empty_like(offsets)
        for chosen, permutation in ((~last, self._rows), (last, self._rows_of_last)):
            shuffled[chosen] = step(permutation, offsets[chosen], keys[chosen])
        return windows * self._window + shuffled

    def _from_places(self, places: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the rows at places among the shuffled blocks."""
        short = self._slot_of_last_block(epochs)
        begins = short * self._block
        after = places >= begins + self._last_block
        slots, offsets = np.divmod(places + after * (self._block - self._last_block), self._block)
        return self._blocks.forward(slots, epochs) * self._block + offsets

    def _to_places(self, rows: Int64Array, epochs: Int64Array) -> Int64Array:
        """Return the places of rows among the shuffled blocks."""
        blocks, offsets = np.divmod(rows, self._block)
        slots = self._blocks.inverse(blocks, epochs)
        after = slots > self._slot_of_last_block(epochs)
        return slots * self._block + offsets - after * (self._block - self._last_block)

    def _slot_of_last_block(self, epochs: Int64Array) -> Int64Array:
        """Return where the last block, which may be shorter, comes in each epoch."""
        different, index = np.unique(epochs, return_inverse=True)
        return self._blocks.inverse(np.full_like(different, self._num_blocks - 1), different)[index]
