"""Calibration of the toxicity score: ``models/toxicity.json``, next to the model it belongs to."""

import json
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.resources import read_text

FILE = "models/toxicity.json"

Evidence = NDArray[np.float64]
"""Rows of (classifier log-odds, sum of word weights), one per passage; float64 of shape (passages, 2)."""


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
        if not len(evidence):
            return 0.0
        log_odds = self.slope * evidence[:, 0] + self.word_weight * evidence[:, 1] + self.intercept
        return float(np.mean(1 / (1 + np.exp(-log_odds))))

    def to_json(self) -> str:
        """Return the content of the file."""
        return json.dumps(asdict(self), indent=2) + "\n"


@cache
def load() -> Calibration:
    """Return the calibration of the shipped model, read once per process."""
    return Calibration(**json.loads(read_text("pipeline.filters.toxicity", FILE)))
