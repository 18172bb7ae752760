import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters.classifier.evaluation import choose_threshold, evaluate, roc_auc
from pipeline.filters.classifier.training import Example


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 0.5, 1.0]), st.booleans()), max_size=20))
def test_roc_auc_is_the_share_of_ordered_pairs(scored: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in scored]), np.array([label for _, label in scored], bool)
    pairs = [(up, down) for up in scores[truth] for down in scores[~truth]]
    area = roc_auc(scores, truth)
    if pairs:
        assert area == pytest.approx(sum((up > down) + (up == down) / 2 for up, down in pairs) / len(pairs))
    else:
        assert math.isnan(area)


@given(st.lists(st.floats(0, 1), min_size=10, max_size=60), st.floats(0.1, 0.9))
def test_threshold_keeps_the_share_and_more_only_for_ties(scores: list[float], share: float) -> None:
    threshold = choose_threshold(np.array(scores), share)
    wanted = int(round(len(scores) * share, 6))
    assert sum(score >= threshold for score in scores) >= wanted
    assert sum(score >= threshold + 1e-6 for score in scores) <= wanted


def test_metrics_at_the_threshold_and_roc_auc_of_length() -> None:
    examples = [
        Example("good", True, length=20),
        Example("bad", False, length=5),
        Example("worse", False, length=6),
    ]
    found = evaluate(examples, np.array([0.7, 0.6, 0.1]), 0.6)
    assert (found.texts, found.positive) == (3, 1)
    assert (found.precision, found.recall, found.kept) == (0.5, 1.0, 0.5)
    assert (found.roc_auc, found.length_roc_auc) == (1.0, 1.0)
    nothing = evaluate(examples, np.zeros(3), 0.6)
    assert math.isnan(nothing.precision) and nothing.recall == nothing.kept == 0
    assert nothing.roc_auc == 0.5
