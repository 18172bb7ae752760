"""The order of training: a pure function from a global position to a row of the shards.

Position p of the stream belongs to a source by the mixture's weights (:mod:`train.mixture`); the source's
k-th draw is place k mod n of its epoch ⌊k/n⌋, shuffled (:mod:`train.permutation`). All of it is named by the
shards' manifest hash, the seed and the weights; the only state is the position. A step takes the next
``batch_size`` positions, and a process its slice of them, so the world size does not change what a step
learns from.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError, InputError
from train.mixture import Mixture
from train.permutation import Integers, Permutation


@dataclass(frozen=True, slots=True)
class Rows:
    """Where positions of the stream lie: per position the index of its source, and its row there."""

    sources: Integers
    rows: Integers


class Stream:
    """All positions of a training run, from 0 on without end."""

    def __init__(
        self, manifest_sha256: str, seed: int, rows: Mapping[str, int], weights: Mapping[str, float]
    ) -> None:
        """``rows`` are the training rows of each source; ``weights`` as in ``[train] mixture``.

        Raises :class:`ConfigError` for a weight that is not positive or names a source without rows, and
        :class:`InputError` if there are no rows at all.
        """
        chosen = _weights(rows, weights)
        self.sources = tuple(sorted(chosen))
        self._mixture = Mixture.by_weights([chosen[source] for source in self.sources])
        self._orders = [
            Permutation(rows[source], f"{manifest_sha256}\0{seed}\0{source}".encode())
            for source in self.sources
        ]

    def locate(self, positions: Integers) -> Rows:
        """The rows at ``positions``."""
        sources, draws = self._mixture.locate(positions)
        rows = np.empty_like(draws)
        for index, order in enumerate(self._orders):
            here = sources == index
            epochs, places = np.divmod(draws[here], order.rows)
            rows[here] = order.forward(places, epochs)
        return Rows(sources, rows)

    def positions(self, source: str, row: int, before: int) -> list[int]:
        """The positions below ``before`` at which a row comes up: once per epoch of its source."""
        if source not in self.sources:
            return []
        index, found = self.sources.index(source), list[int]()
        order = self._orders[index]
        for epoch in itertools.count():
            if self._mixture.position(index, epoch * order.rows) >= before:
                break
            place = int(order.inverse(np.array([row]), np.array([epoch]))[0])
            found.append(self._mixture.position(index, epoch * order.rows + place))
        return [position for position in found if position < before]


def batch_positions(step: int, batch_size: int, rank: int = 0, world_size: int = 1) -> Integers:
    """The positions that process ``rank`` of ``world_size`` takes in ``step`` (counting from 1)."""
    local = batch_size // world_size
    first = (step - 1) * batch_size + rank * local
    return np.arange(first, first + local, dtype=np.int64)


def _weights(rows: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    """The weight of each source that takes part: as asked, or else its number of rows."""
    filled = {source: float(count) for source, count in rows.items() if count}
    if not filled:
        raise InputError(
            "the shards have no training rows; pack more documents or a smaller validation share"
        )
    if not weights:
        return filled
    for source, weight in weights.items():
        if source not in filled:
            known = ", ".join(sorted(filled))
            raise ConfigError(f"mixture.{source}: there are no training rows of it; name some of {known}")
        if not 0 < weight < float("inf"):
            raise ConfigError(
                f"mixture.{source} = {weight}: must be a positive number; leave out what is not wanted"
            )
    return dict(weights)
