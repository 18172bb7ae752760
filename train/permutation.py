"""A shuffle that is one function: no list of rows is ever held or stored.

An alternating Feistel network permutes the grid ``a × b`` that just holds ``n`` rows (the generalized Feistel
cipher of Black and Rogaway 2002); a result beyond ``n`` is permuted again until it is a row (cycle walking).
Every epoch has keys of its own, and therefore a fresh order.
"""

import hashlib
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from core.hashing import GOLDEN, mix

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

ROUNDS = 8


class Permutation:
    """Orders of ``rows`` things (at least one), a fresh one per epoch, all named by ``key``."""

    def __init__(self, rows: int, key: bytes) -> None:
        self.rows = rows
        width = math.isqrt(rows - 1) + 1
        self._width, self._height = np.uint64(width), np.uint64(-(-rows // width))
        digest = hashlib.blake2b(key, digest_size=8 * ROUNDS).digest()
        self._round_keys: Words = np.frombuffer(digest, dtype="<u8").astype(np.uint64)

    def forward(self, places: Integers, epochs: Integers) -> Integers:
        """The row at each place (0 … rows-1) of each epoch."""
        return self._walk(places, epochs, self._forward)

    def inverse(self, rows: Integers, epochs: Integers) -> Integers:
        """The place of each row in each epoch."""
        return self._walk(rows, epochs, self._inverse)

    def _walk(self, values: Integers, epochs: Integers, step: Callable[[Words, Words], Words]) -> Integers:
        salts = mix(epochs.astype(np.uint64) * GOLDEN)
        result = step(values.astype(np.uint64), salts)
        while (outside := np.flatnonzero(result >= self.rows)).size:
            result[outside] = step(result[outside], salts[outside])
        return result.astype(np.int64)

    def _forward(self, values: Words, salts: Words) -> Words:
        width, height = self._width, self._height
        column, line = values % width, values // width
        for number, key in enumerate(self._round_keys):
            if number % 2:
                line = (line + mix(column ^ key ^ salts) % height) % height
            else:
                column = (column + mix(line ^ key ^ salts) % width) % width
        return line * width + column

    def _inverse(self, values: Words, salts: Words) -> Words:
        width, height = self._width, self._height
        column, line = values % width, values // width
        for number, key in reversed(list(enumerate(self._round_keys))):
            if number % 2:
                line = (line + height - mix(column ^ key ^ salts) % height) % height
            else:
                column = (column + width - mix(line ^ key ^ salts) % width) % width
        return line * width + column
