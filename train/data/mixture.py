"""Stateless assignment of stream positions to sources, by weights that may change along the stream.

Sources are split off one after another. The first gets a share s of the positions, evenly spaced: position p
if ⌊(p+1)s⌋ > ⌊ps⌋, as in Bresenham's line algorithm. The remaining positions are divided among the other
sources in the same way. Any prefix of the stream thus holds each source in proportion, to within one draw per
split; the number of earlier draws from a source, and its inverse, take a few integer operations.

A schedule is a sequence of such mixtures, each from a position on. A source that is drawn from again
continues where it stopped.
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

    def counts(self, length: int) -> list[int]:
        """Return the number of draws from each source at the first ``length`` positions."""
        found = []
        for share in self.shares:
            found.append(length * share // UNIT)
            length -= found[-1]
        return found


class Schedule:
    """Mixtures of sources 0 … n - 1, each from a position on."""

    def __init__(self, phases: Sequence[tuple[int, Sequence[float]]]) -> None:
        """Create a schedule from the first position and the n weights of each phase, in order.

        The first phase begins at position 0. A source with the weight 0 is not drawn from; one at least has
        another weight.
        """
        self._starts = np.array([start for start, _ in phases], np.int64)
        self._sources = [np.flatnonzero(np.array(weights) > 0) for _, weights in phases]
        self._mixtures = [
            Mixture.by_weights([weights[source] for source in sources.tolist()])
            for (_, weights), sources in zip(phases, self._sources, strict=True)
        ]
        self._before = np.zeros((len(phases), len(phases[0][1])), np.int64)
        """Draws from each source before each phase."""
        for phase, length in enumerate(np.diff(self._starts).tolist()):
            self._before[phase + 1] = self._before[phase]
            self._before[phase + 1, self._sources[phase]] += self._mixtures[phase].counts(length)

    def counts(self, length: int) -> list[int]:
        """Return the number of draws from each source at the first ``length`` positions."""
        phase = int(self._starts.searchsorted(length, "right")) - 1
        found = self._before[phase].copy()
        found[self._sources[phase]] += self._mixtures[phase].counts(length - int(self._starts[phase]))
        return [int(count) for count in found]

    def locate(self, positions: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return the source of each position, and the number of earlier draws from that source."""
        sources, draws = np.empty_like(positions), np.empty_like(positions)
        phases = self._starts.searchsorted(positions, "right") - 1
        for phase in np.unique(phases).tolist():
            chosen = phases == phase
            found, drawn = self._mixtures[phase].locate(positions[chosen] - self._starts[phase])
            sources[chosen] = self._sources[phase][found]
            draws[chosen] = drawn + self._before[phase, sources[chosen]]
        return sources, draws

    def position(self, source: int, draw: int) -> int | None:
        """Return the position of draw number ``draw`` (from 0) from ``source``; None if there is none."""
        phase = int(self._before[:, source].searchsorted(draw, "right")) - 1
        while phase >= 0 and source not in self._sources[phase]:
            phase -= 1
        if phase < 0 or (phase + 1 < len(self._starts) and draw >= self._before[phase + 1, source]):
            return None
        index = int(np.flatnonzero(self._sources[phase] == source)[0])
        within = self._mixtures[phase].position(index, draw - int(self._before[phase, source]))
        return int(self._starts[phase]) + within
