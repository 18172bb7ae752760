"""Bands, rows and shingle length of MinHash-LSH: a published recipe's, chosen for a threshold, or given.

Documents of Jaccard similarity s share at least one of b bands of r rows with probability 1 − (1 − s^r)^b.
The threshold of that curve is about (1/b)^(1/r) (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets,
ch. 3).
"""

from functools import cache
from types import MappingProxyType
from typing import NamedTuple

from datasketch.lsh import MinHashLSH

from core.config import DedupConfig
from core.errors import ConfigError

PERMUTATIONS = 128
"""Upper bound of bands × rows chosen for a threshold."""
MAX_PERMUTATIONS = 20_000


class Parameters(NamedTuple):
    """Parameters of the signatures, and the similarity that verified near-duplicates have at least."""

    bands: int
    rows: int
    shingle: int
    """Words per shingle."""
    seed: int
    threshold: float

    @property
    def permutations(self) -> int:
        """Number of MinHashes per document."""
        return self.bands * self.rows


PRESETS = MappingProxyType({"fineweb": (14, 8, 5), "refinedweb": (450, 20, 5), "redpajama": (14, 9, 13)})
"""Bands, rows and shingle of FineWeb (Penedo et al. 2024), RefinedWeb (Penedo et al. 2023) and RedPajama 2
(Weber et al. 2024), whose documents are compared from similarity .8 in 14 bands of 9."""


@cache
def parameters(settings: DedupConfig) -> Parameters:
    """Resolve the settings. Raises :class:`ConfigError` for only one of bands and rows, and for too many."""
    if bool(settings.bands) != bool(settings.rows):
        raise ConfigError(
            f"dedup.bands = {settings.bands}, dedup.rows = {settings.rows}: set both or none of them"
        )
    bands, rows, shingle = PRESETS[settings.preset or "fineweb"]
    if settings.bands:
        bands, rows = settings.bands, settings.rows
    elif settings.threshold and not settings.preset:
        bands, rows = _best_for(settings.threshold)
    if bands * rows > MAX_PERMUTATIONS:
        raise ConfigError(
            f"dedup.bands × dedup.rows = {bands * rows}: more than the possible "
            f"{MAX_PERMUTATIONS} permutations; choose fewer bands or rows"
        )
    threshold = settings.threshold or (1 / bands) ** (1 / rows)
    return Parameters(bands, rows, settings.shingle or shingle, settings.seed, threshold)


def _best_for(threshold: float) -> tuple[int, int]:
    """Return bands and rows with the least area of false positives and negatives, by ``datasketch``."""
    lsh = MinHashLSH(threshold=threshold, num_perm=PERMUTATIONS)
    return lsh.b, lsh.r
