"""Stateless assignment of stream positions to sources by weight.

Sources are split off one after another. The first gets a share s of the positions, evenly spaced: position p
if ⌊(p+1)s⌋ > ⌊ps⌋, as in Bresenham's line algorithm. The remaining positions are divided among the other
sources in the same way. Any prefix of the stream thus holds each source in proportion, to within one draw per
split; the number of earlier draws from a source, and its inverse, take a few integer operations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.data.permutation import Int64Array

UNIT = 1 << 24
"""Denominator of all shares; arithmetic in 64 bits is exact up to position 2^38."""


@dataclass(frozen=True)
class Mixture:
    """Assignment of positions 0, 1, 2, … to sources 0 … ``len(shares)`` - 1.

    ``shares[i]`` is the share, in units of 1/UNIT, that source i gets of the positions left by the sources
    before it; the last one is UNIT.
    """

    shares: tuple[int, ...]

    @staticmethod
    def by_weights(weights: Sequence[float]) -> "Mixture":
        """Create a mixture in proportion to positive ``weights``."""
        shares = [round(UNIT * weight / sum(weights[index:])) for index, weight in enumerate(weights)]
        return Mixture((*(min(max(share, 1), UNIT - 1) for share in shares[:-1]), UNIT))

    def locate(self, positions: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the source of each position, and the number of earlier draws from that source."""
        sources = np.zeros_like(positions)
        draws = positions.copy()
        unassigned = np.arange(positions.size)
        for source, share in enumerate(self.shares):
            counts = draws[unassigned]
            drawn = counts * share // UNIT
            assigned = (counts + 1) * share // UNIT > drawn
            sources[unassigned[assigned]] = source
            draws[unassigned] = np.where(assigned, drawn, counts - drawn)
            unassigned = unassigned[~assigned]
        return sources, draws

    def position(self, source: int, draw: int) -> int:
        """Return the position of draw number ``draw`` (from 0) from ``source``."""
        share = self.shares[source]
        position = -(-(draw + 1) * UNIT // share) - 1
        for earlier in reversed(self.shares[:source]):
            position = position * UNIT // (UNIT - earlier)
        return position
