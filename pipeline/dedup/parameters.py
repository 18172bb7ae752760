"""Bands, rows and shingle length of MinHash-LSH: a published recipe's, chosen for a threshold, or given.

Documents of Jaccard similarity s share at least one of b bands of r rows with probability 1 − (1 − s^r)^b.
The threshold of that curve is about (1/b)^(1/r) (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets,
ch. 3).
"""

from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from core.config import DedupConfig
from core.errors import ConfigError

PERMUTATIONS = 128
"""Upper bound of bands × rows chosen for a threshold."""
MAX_PERMUTATIONS = 20_000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(PERMUTATIONS // 2 + 1)
"""Of the Gauss-Legendre quadrature from -1 to 1 that is exact for polynomials of degree ``PERMUTATIONS``."""


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


def validate(settings: DedupConfig, *, has_quality: bool) -> None:
    """Raise :class:`ConfigError` for impossible parameters, criteria without effect, an unverified index.

    ``has_quality``: documents can have a quality score. A cluster that is not verified may be connected
    through documents that the index does not have, as they were dropped when it was made.
    """
    parameters(settings)
    _refuse_criteria_without_effect(settings, has_quality=has_quality)
    if settings.index and settings.near and not settings.verify:
        raise ConfigError(
            f"dedup.verify = false: with dedup.index = {settings.index}, documents are dropped only if they "
            "are similar to one that stays; set dedup.verify = true, or process all corpora in one run"
        )


def _refuse_criteria_without_effect(settings: DedupConfig, *, has_quality: bool) -> None:
    """Raise :class:`ConfigError` if a criterion of ``dedup.keep`` ranks all documents alike."""
    if "quality" in settings.keep and not has_quality:
        raise ConfigError(
            "dedup.keep = quality: no document has a score; name its column in input.columns.quality, or a "
            "model for jobs/clean.py in filters.quality_model"
        )
    if ("source" in settings.keep) != bool(settings.sources):
        raise ConfigError(
            f"dedup.keep = {', '.join(settings.keep)} and dedup.sources = {', '.join(settings.sources)}: the "
            "criterion source and the list of sources, the most preferred first, need each other; set both"
        )


def overrides(own: Parameters, name: str) -> str:
    """Return the command-line options that give the parameter ``name`` the value that it has in ``own``.

    Bands and rows are set together.
    """
    names = ("bands", "rows") if name in ("bands", "rows") else (name,)
    return " ".join(f"--set dedup.{each}={getattr(own, each)}" for each in names)


def _best_for(threshold: float) -> tuple[int, int]:
    """Return bands and rows with the least area of false positives and negatives, as ``datasketch`` does.

    Unlike there, a single band is possible.
    """
    choices = (
        (bands, rows) for bands in range(1, PERMUTATIONS + 1) for rows in range(1, PERMUTATIONS // bands + 1)
    )
    return min(choices, key=partial(_wrong_area, threshold))


def _wrong_area(threshold: float, choice: tuple[int, int]) -> float:
    """Return the area under the curve below the threshold, and over it above.

    The curve is a polynomial of degree bands × rows, so that Gauss-Legendre quadrature is exact.
    """
    bands, rows = choice
    nodes, weights = (_NODES + 1) / 2, _WEIGHTS / 2  # from 0 to 1
    below, above = threshold * nodes, threshold + (1 - threshold) * nodes
    false_positives = threshold * (weights @ (1 - (1 - below**rows) ** bands))
    false_negatives = (1 - threshold) * (weights @ ((1 - above**rows) ** bands))
    return float(false_positives + false_negatives)
