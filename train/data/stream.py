"""The training order: a pure function from a global position to a row.

The mixture weights, which may change along the stream, assign each position to a source
(:mod:`train.data.mixture`). Draw k from a source of n rows is position k mod n of its epoch ⌊k/n⌋, shuffled
(:mod:`train.data.permutation`). The order depends only on the dataset's hash, the seed and the weights, and
the position is the only state. Steps consume one position after another (:mod:`train.data.batch_sizes`).

Edits (:mod:`train.data.edits`) replace tokens by padding from a position on; they do not move rows.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError, InputError
from core.manifest import fingerprint
from train.data.edits import Edit, RemovedTokens
from train.data.mixture import Schedule
from train.data.permutation import BlockPermutation, Int64Array, Permutation, Shuffle


@dataclass(frozen=True, slots=True)
class RowIndices:
    """Rows of a dataset: source and index within the source, for each of n rows."""

    sources: Int64Array
    """int64 ``[n]``: index into the names of the sources."""
    indices: Int64Array
    """int64 ``[n]``."""

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, selection: Int64Array) -> "RowIndices":
        """Return the rows at the positions in ``selection``."""
        return RowIndices(self.sources[selection], self.indices[selection])


class Stream:
    """The infinite sequence of training rows."""

    def __init__(
        self,
        dataset_sha256: str,
        seed: int,
        num_rows: Mapping[str, int],
        weights: Mapping[str, float],
        later: Sequence[tuple[int, Mapping[str, float]]] = (),
        edits: Sequence[Edit] = (),
        *,
        block: int = 0,
        window: int = 1,
    ) -> None:
        """Create the stream for ``num_rows`` training rows per source; ``weights`` as in ``[train] mixture``.

        ``later``: positions from which other weights apply, in ascending order. ``edits``: tokens that are
        left out. ``block``: rows of the blocks that are shuffled, in windows of ``window`` blocks; 0: all
        rows of a source are shuffled. Raises :class:`ConfigError` for a weight that is not positive or names
        a source without rows, and :class:`InputError` if there are no rows.
        """
        phases = [(0, _source_weights(num_rows, weights))]
        phases += [(start, _source_weights(num_rows, changed)) for start, changed in later]
        self.sources = tuple(sorted(set().union(*(used for _, used in phases))))
        self._schedule = Schedule(
            [(start, [used.get(source, 0.0) for source in self.sources]) for start, used in phases]
        )
        self._permutations = [
            _shuffle(num_rows[source], f"{dataset_sha256}\0{seed}\0{source}".encode(), block, window)
            for source in self.sources
        ]
        self.window_rows = min(block * window, sum(num_rows[source] for source in self.sources))
        """Rows in a window of shuffled blocks, at most all rows; 0 without blocks."""
        self.edits = tuple(edits)
        self.sha256 = fingerprint(
            "order",
            {"seed": seed, "phases": phases, "block": block, "window": window},
            [dataset_sha256, *(edit.sha256 for edit in edits)],
        )
        """Hash of everything that the order depends on."""

    def locate(self, positions: Int64Array) -> RowIndices:
        """Return the rows at ``positions``."""
        sources, draws = self._schedule.locate(positions)
        indices = np.empty_like(draws)
        for source, permutation in enumerate(self._permutations):
            selected = sources == source
            epochs, offsets = np.divmod(draws[selected], permutation.size)
            indices[selected] = permutation.forward(offsets, epochs)
        return RowIndices(sources, indices)

    def draws(self, length: int) -> dict[str, int]:
        """Return the number of rows from each source at the first ``length`` positions."""
        return dict(zip(self.sources, self._schedule.counts(length), strict=True))

    def removed(self, positions: Int64Array, rows: RowIndices) -> RemovedTokens:
        """Return the tokens that edits remove from the rows at ``positions``."""
        parts = [np.empty((3, 0), np.int64)]
        for edit in self.edits:
            for source in edit.removed.keys() & set(self.sources):
                drawn = rows.sources == self.sources.index(source)
                chosen = np.flatnonzero(drawn & (positions >= edit.from_position))
                ranges = edit.removed[source]
                index, found = ranges.find(rows.indices[chosen])
                parts.append(np.stack([chosen[index], ranges.start[found], ranges.stop[found]]))
        return RemovedTokens(*np.concatenate(parts, axis=1))

    def positions(self, source: str, row: int, before: int) -> list[int]:
        """Return the positions below ``before`` of a row, one per epoch of its source."""
        if source not in self.sources:
            return []
        index = self.sources.index(source)
        permutation = self._permutations[index]
        found: list[int] = []
        for epoch in itertools.count():
            first_draw = epoch * permutation.size
            first = self._schedule.position(index, first_draw)
            if first is None or first >= before:
                break
            offset = int(permutation.inverse(np.array([row]), np.array([epoch]))[0])
            position = self._schedule.position(index, first_draw + offset)
            if position is not None and position < before:
                found.append(position)
        return found


def _shuffle(size: int, key: bytes, block: int, window: int) -> Shuffle:
    return BlockPermutation(size, key, block, window) if block else Permutation(size, key)


def _source_weights(num_rows: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weight of each source in use: the configured ones, or else the numbers of rows."""
    non_empty = {source: float(count) for source, count in num_rows.items() if count}
    if not non_empty:
        raise InputError(
            "the shards have no training rows; pack more documents or a smaller validation share"
        )
    if not weights:
        return non_empty
    for source, weight in weights.items():
        if source not in non_empty:
            known = ", ".join(sorted(non_empty))
            raise ConfigError(f"mixture.{source}: this source has no training rows; use some of {known}")
        if not 0 < weight < float("inf"):
            raise ConfigError(
                f"mixture.{source} = {weight}: must be a positive number; omit sources that are not wanted"
            )
    return dict(weights)
