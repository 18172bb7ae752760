"""Calibration of the toxicity score: ``models/toxicity.json``, next to the model it belongs to."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from core.resources import read_text

FILE = "models/toxicity.json"

Evidence = NDArray[np.float64]
"""Rows of (classifier log-odds, sum of word weights, context log-odds), one per passage; float64 of shape
(passages, 3)."""

NEUTRAL_LIMIT = 0.7
"""Log-odds to which a passage is reduced whose context is neutral: a score of 0.67."""
NEUTRAL, OFFENDING = (-2.5, -1.0), (4.0, 9.0)
"""Ranges of context log-odds. A passage is reduced to :data:`NEUTRAL_LIMIT` below the first, and less within
it; within the second, up to :data:`MAX_INCREASE` is added."""
MAX_INCREASE = 1.5


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients from evidence to calibrated log-odds (Platt 1999).

    ``python -m pipeline.training.toxicity calibrate`` fits them and writes the file.
    """

    slope: float
    """Factor of the classifier's log-odds."""
    word_weight: float
    """Factor of the sum of word weights."""
    intercept: float

    def probability(self, evidence: Evidence) -> float:
        """Return the mean probability over the passages of a text; 0 without passages."""
        return self.probabilities([evidence])[0]

    def probabilities(self, evidence: Sequence[Evidence]) -> list[float]:
        """Return the mean probability over the passages of each text."""
        log_odds, weights, context = np.concatenate(evidence).T
        log_odds = in_context(self.slope * log_odds + self.word_weight * weights + self.intercept, context)
        passages = 1 / (1 + np.exp(-log_odds))
        bounds = pairwise(accumulate(map(len, evidence), initial=0))
        # Summed text by text: in another order, rounding would depend on the other texts.
        return [float(passages[first:past].mean()) if past > first else 0.0 for first, past in bounds]

    def to_json(self) -> str:
        """Return the content of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"


def in_context(log_odds: NDArray[np.float64], context: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reduce high log-odds in neutral contexts, and raise all in offending ones."""
    excess = np.maximum(log_odds - NEUTRAL_LIMIT, 0)
    reduced = log_odds - excess * np.interp(context, NEUTRAL, (1, 0))
    return reduced + np.interp(context, OFFENDING, (0, MAX_INCREASE))


@cache
def load() -> Calibration:
    """Return the calibration of the shipped model, read once per process."""
    return Calibration(**json.loads(read_text("pipeline.filters.toxicity", FILE)))
