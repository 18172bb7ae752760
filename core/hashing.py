"""Mixing of 64-bit hashes in NumPy arrays."""

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Increment of SplitMix64: 2**64 divided by the golden ratio."""


def mix(values: Hashes) -> Hashes:
    """Apply the finalizer of SplitMix64 (Steele, Lea and Flood 2014), a bijection on 64-bit words.

    Every input bit affects every output bit.
    """
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
