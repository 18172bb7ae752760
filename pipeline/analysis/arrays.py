"""Array types of the analysis, and the helpers that every module of it uses."""

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
"""Unicode code points."""
Positions = NDArray[np.int64]
"""Offsets into a text in code points, or indices of tokens or lines."""
Flags = NDArray[np.bool_]


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


def prefix_counts(flags: Flags) -> Positions:
    """Return the number of flags set before each position: one element more than there are flags."""
    counts = np.zeros(len(flags) + 1, np.int64)
    flags.cumsum(out=counts[1:])
    return counts
