"""Evaluation of a classifier's scores on held-out texts, and choice of the threshold."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.filters.classifier.training import Example

DEFAULT_THRESHOLD = 0.5
"""Score at which a text counts as positive, unless a threshold is chosen by share."""

Scores = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Metrics of scores on labelled texts. A ratio without a denominator is NaN."""

    texts: int
    positive: int
    precision: float
    """Share of positive texts among those that reach the threshold."""
    recall: float
    """Share of the positive texts that reach the threshold."""
    kept: float
    """Share of the negative texts that reach the threshold (the false positive rate)."""
    roc_auc: float
    length_roc_auc: float
    """ROC-AUC of the text's length in place of the score: 0.5 if both classes are equally long."""


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """Score, language and address of a held-out text."""

    score: float
    language: str
    url: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Evaluation of a finished classifier."""

    threshold: float
    """Chosen by the share to keep if the classifier was trained on corpora."""
    parts: dict[str, Metrics]
    """On held-out texts, by labelled set; for corpora in total, by language and by source."""
    pages: list[Page]
    """The highest-scoring and lowest-scoring pages of the negative corpus, in descending order."""


def evaluate(examples: Sequence[Example], scores: Scores, threshold: float = DEFAULT_THRESHOLD) -> Metrics:
    """Return the metrics of the examples' scores."""
    truth = np.array([example.positive for example in examples], dtype=bool)
    lengths = np.array([example.length for example in examples], dtype=np.float64)
    found = scores >= threshold
    return Metrics(
        texts=len(examples),
        positive=int(truth.sum()),
        precision=_share(truth[found]),
        recall=_share(found[truth]),
        kept=_share(found[~truth]),
        roc_auc=roc_auc(scores, truth),
        length_roc_auc=roc_auc(lengths, truth),
    )


def choose_threshold(scores: Scores, keep_share: float) -> float:
    """Return the score that a share of ``keep_share`` reaches, at least one text; more in case of ties.

    Rounded down to six digits.
    """
    kept = int(round(len(scores) * keep_share, 6))
    return math.floor(float(np.sort(scores)[-kept]) * 1e6) / 1e6


def roc_auc(scores: Scores, truth: Flags) -> float:
    """Return the share of pairs in which the positive scores above the negative; NaN if a class is empty.

    Ties count half (Mann and Whitney 1947).
    """
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
