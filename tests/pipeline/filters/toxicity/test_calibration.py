import math

import numpy as np
import pytest

from pipeline.filters.toxicity.calibration import MAX_INCREASE, NEUTRAL, NEUTRAL_LIMIT, OFFENDING, Calibration

CALIBRATION = Calibration(slope=1.0, word_weight=0.1, intercept=-0.5)
NO_EFFECT = OFFENDING[0]
"""Context log-odds that change nothing."""


def log_odds(logit: float, weight: float, context: float) -> float:
    """Return the log-odds of a text of one passage."""
    share = CALIBRATION.probability(np.array([[logit, weight, context]]))
    return math.log(share / (1 - share))


def test_contexts_without_evidence_change_nothing() -> None:
    assert log_odds(3, 10, NO_EFFECT) == pytest.approx(3.5)
    assert log_odds(3, 10, NEUTRAL[1]) == pytest.approx(3.5)


def test_neutral_contexts_reduce_high_scores_to_a_limit_and_leave_low_ones() -> None:
    assert log_odds(9, 0, NEUTRAL[0]) == pytest.approx(NEUTRAL_LIMIT)
    assert log_odds(-1, 0, NEUTRAL[0]) == pytest.approx(-1.5)
    assert NEUTRAL_LIMIT < log_odds(9, 0, sum(NEUTRAL) / 2) < 8.5


def test_offending_contexts_raise_the_score_up_to_a_maximum() -> None:
    assert log_odds(0, 0, sum(OFFENDING) / 2) == pytest.approx(-0.5 + MAX_INCREASE / 2)
    assert log_odds(0, 0, 99) == pytest.approx(-0.5 + MAX_INCREASE)


def test_the_score_of_a_text_is_the_mean_of_its_passages() -> None:
    rows = np.array([[9.0, 0.0, NO_EFFECT], [-9.0, 0.0, NO_EFFECT]])
    alone = [CALIBRATION.probability(rows[[index]]) for index in (0, 1)]
    assert CALIBRATION.probability(rows) == pytest.approx(np.mean(alone))
    assert CALIBRATION.probability(np.empty((0, 3))) == 0
