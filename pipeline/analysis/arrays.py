"""Array types of the analysis, and the helpers that every module of it uses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
"""Unicode code points."""
Positions = NDArray[np.int64]
"""Offsets into a text in code points, or indices of tokens or lines."""
Flags = NDArray[np.bool_]
Columns = dict[str, NDArray[np.float64]]
"""Values of metrics by name, one per text."""


def code_points(text: str) -> Codes:
    """Return the code points of a text, lone surrogates included."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def nonzero_indices(values: NDArray[np.generic]) -> Positions:
    """Return the indices of set flags or nonzero numbers. Faster than NumPy's wrappers on short arrays."""
    return values.nonzero()[0]


def changes(*columns: NDArray[np.generic]) -> Positions:
    """Return the rows that differ from the row before in any column; the first row does."""
    differs = np.zeros(len(columns[0]), np.bool_)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return nonzero_indices(differs)


def prefix_counts(values: NDArray[Any]) -> Positions:
    """Return the number of flags, or the sum of integers, before each position and in all."""
    counts = np.zeros(len(values) + 1, np.int64)
    values.cumsum(out=counts[1:])
    return counts


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Division of the elements of an array into successive groups, such as the tokens of a text."""

    bounds: Positions
    """int64[groups + 1]: group ``i`` is ``bounds[i]:bounds[i + 1]``. Groups may be empty."""

    @classmethod
    def of(cls, positions: Positions, starts: Positions) -> "Groups":
        """Group ascending positions by the spans that begin at ``starts``."""
        return cls(np.append(positions.searchsorted(starts), len(positions)))

    @property
    def sizes(self) -> Positions:
        """Elements per group."""
        return self.bounds[1:] - self.bounds[:-1]

    def filter(self, mask: Flags) -> "Groups":
        """Return the groups of the elements whose flag is set."""
        return Groups(prefix_counts(mask)[self.bounds])

    def sums(self, values: NDArray[Any]) -> Positions:
        """Return the sum of integers, or the number of set flags, per group."""
        before = prefix_counts(values)
        return before[self.bounds[1:]] - before[self.bounds[:-1]]

    def owners(self) -> Positions:
        """Return the group of each element."""
        return np.arange(len(self.bounds) - 1).repeat(self.sizes)

    def owners_of(self, elements: Positions) -> Positions:
        """Return the group of each of the given elements."""
        return self.bounds.searchsorted(elements, "right") - 1

    def counts(self, elements: Positions) -> Positions:
        """Return how many of the given elements are in each group."""
        return np.bincount(self.owners_of(elements), minlength=len(self.bounds) - 1)
