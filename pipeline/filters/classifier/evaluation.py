"""How well a classifier's scores tell positive from negative texts, and from which score on to believe it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.filters.classifier.training import Example

THRESHOLD = 0.5
"""From which score on a text counts as positive, where no other threshold is picked."""

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quality:
    """How well scores tell positive from negative texts. A ratio without a denominator is NaN."""

    texts: int
    positive: int
    precision: float
    """Positive texts among those that reach the threshold."""
    recall: float
    """Those that reach the threshold among the positive ones."""
    kept: float
    """Those that reach the threshold among the negative ones."""
    roc_auc: float
    length_roc_auc: float
    """What the length of the text would reach in place of the score: 0.5 if the classes are equally long."""


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """A text that was held out, by its address, and its score."""

    score: float
    language: str
    url: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is known of a finished classifier."""

    threshold: float
    """Picked by kept share where corpora were learned from."""
    parts: dict[str, Quality]
    """By set, and for corpora in all, by language and by source; of texts that were held out."""
    pages: list[Page]
    """Of the negative corpus those with the highest and the lowest scores, from high to low."""


def measure(examples: Sequence[Example], scores: Scores, threshold: float = THRESHOLD) -> Quality:
    """The quality of the examples' scores."""
    truth = np.array([example.positive for example in examples], dtype=bool)
    lengths = np.array([example.length for example in examples], dtype=np.float64)
    found = scores >= threshold
    return Quality(
        texts=len(examples),
        positive=int(truth.sum()),
        precision=_share(truth[found]),
        recall=_share(found[truth]),
        kept=_share(found[~truth]),
        roc_auc=roc_auc(scores, truth),
        length_roc_auc=roc_auc(lengths, truth),
    )


def pick_threshold(scores: Scores, keep_share: float) -> float:
    """The score that ``keep_share`` of these reach, or a little more where several are equal.

    Rounded down to six digits. The share is at least one of them.
    """
    kept = int(round(len(scores) * keep_share, 6))
    return math.floor(float(np.sort(scores)[-kept]) * 1e6) / 1e6


def roc_auc(scores: Scores, truth: Flags) -> float:
    """The chance that a positive scores above a negative, ties counting half (Mann and Whitney 1947)."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    _, groups, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    mean_rank = last_rank - (counts - 1) / 2
    rank_sum = float(mean_rank[groups][truth].sum())
    return (rank_sum - positive * (positive + 1) / 2) / (positive * negative)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
