"""alt-profanity-check, a linear model of English profanity, as a teacher.

It was trained by its authors on Wikipedia talk pages and Davidson's set. It labels clean English text with
inserted words, and its weights become word weights.
"""

from collections.abc import Sequence

import numpy as np
import profanity_check.profanity_check as model
from numpy.typing import NDArray

TYPICAL_NORM = 6.5
"""Typical norm of a text's TF-IDF vector. The vectors are normalized, so that a word with inverse document
frequency ``idf`` adds ``weight * idf / TYPICAL_NORM`` to the log-odds of a typical text."""


def scores(texts: Sequence[str]) -> NDArray[np.float64]:
    """Return the probability that each text is toxic."""
    return np.array(model.predict_prob(list(texts)))


def margin_weights() -> dict[str, float]:
    """Return each word's weight in the margin, the mean over the model's folds."""
    folds = [fold.estimator.coef_[0] for fold in model.model.calibrated_classifiers_]
    return dict(zip(model.vectorizer.get_feature_names_out(), np.mean(folds, axis=0).tolist(), strict=True))


def log_odds_weights() -> dict[str, float]:
    """Return what each word adds to the log-odds of a typical text."""
    slope = -np.mean([fold.calibrators[0].a_ for fold in model.model.calibrated_classifiers_])
    idf = dict(zip(model.vectorizer.get_feature_names_out(), model.vectorizer.idf_, strict=True))
    return {word: slope * weight * idf[word] / TYPICAL_NORM for word, weight in margin_weights().items()}
