"""Which source a position of the stream draws from, by weights, without any state.

Sources are split off one after the other: a share s of the positions goes to the first, evenly (position p,
if ⌊(p+1)s⌋ > ⌊ps⌋, as in Bresenham's line), and the rest is split likewise among the others. Any prefix of
the stream therefore holds each source in its proportion to within one draw per split, and both "how often
was this source drawn before?" and its inverse are a few integer operations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.permutation import Integers

UNIT = 1 << 24
"""Shares are multiples of 1/UNIT: exact in 64-bit arithmetic up to 2^38 positions."""


@dataclass(frozen=True)
class Mixture:
    """Positions 0, 1, 2, … shared out among sources 0 … len(shares)-1.

    ``shares`` hold, in units of 1/UNIT, each source's part of what the sources before it left over; the last
    one's is UNIT.
    """

    shares: tuple[int, ...]

    @staticmethod
    def by_weights(weights: Sequence[float]) -> "Mixture":
        """Shares in proportion to ``weights``, which are positive."""
        shares = [round(UNIT * weight / sum(weights[index:])) for index, weight in enumerate(weights)]
        return Mixture((*(min(max(share, 1), UNIT - 1) for share in shares[:-1]), UNIT))

    def locate(self, positions: Integers) -> tuple[Integers, Integers]:
        """For each position its source, and how many earlier positions drew from that source."""
        sources = np.zeros_like(positions)
        draws = positions.copy()
        undecided = np.arange(positions.size)
        for source, share in enumerate(self.shares):
            counts = draws[undecided]
            drawn = counts * share // UNIT
            taken = (counts + 1) * share // UNIT > drawn
            sources[undecided[taken]] = source
            draws[undecided] = np.where(taken, drawn, counts - drawn)
            undecided = undecided[~taken]
        return sources, draws

    def position(self, source: int, draw: int) -> int:
        """The position at which ``source`` is drawn for the ``draw``-th time (counting from 0)."""
        share = self.shares[source]
        position = -(-(draw + 1) * UNIT // share) - 1
        for earlier in reversed(self.shares[:source]):
            position = position * UNIT // (UNIT - earlier)
        return position
