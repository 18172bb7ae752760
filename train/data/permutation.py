"""Shuffle by a permutation function, without storing a list of rows.

An alternating Feistel network permutes the smallest grid ``a × b`` that holds ``n`` rows (generalized Feistel
cipher, Black and Rogaway 2002). Results beyond ``n`` are permuted again (cycle walking). Each epoch has its
own keys and therefore its own order.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from core.hashing import GOLDEN, mix

Int64Array = npt.NDArray[np.int64]
UInt64Array = npt.NDArray[np.uint64]

ROUNDS = 8


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
