import pytest

from pipeline.filters.toxicity import context
from pipeline.filters.toxicity.context import PLACEHOLDER, ContextWeights

WEIGHTS = ContextWeights(-1.0, {"what_is": -2.0, "you_*": 3.0, "town": -0.5})


def test_words_that_may_offend_become_placeholders() -> None:
    words = ["what", "is", "a", "bitch", "in", "heat"]
    assert context.generalize(words, "en") == ["what", "is", "a", PLACEHOLDER, "in", "heat"]
    assert context.generalize(["die", "stadt"], "de") == ["die", "stadt"]


def test_features_are_words_pairs_and_triples_around_placeholders() -> None:
    assert context.features(["a", PLACEHOLDER, "b", "c"]) == [
        "a", "b", "c", "<_a", "a_*", "*_b", "b_c", "c_>", "<_a_*", "a_*_b", "*_b_c",
    ]  # fmt: skip
    assert context.features([]) == ["<_>"]


def test_log_odds_are_the_sum_of_weights() -> None:
    assert WEIGHTS.log_odds(["you", "bitch"], "en") == 2.0
    assert WEIGHTS.log_odds(["what", "is", "bitch"], "en") == -3.0
    assert ContextWeights(1.0, {}).log_odds(["town"], "en") == 0.0, "no word that may offend"


def test_other_scripts_are_no_evidence() -> None:
    assert WEIGHTS.log_odds(["город"], "ru") == 0.0
    assert WEIGHTS.log_odds([], "") == -1.0


@pytest.mark.parametrize(
    ("neutral", "offending"),
    [
        ("what is a bitch in zoology", "you are a bitch"),
        ("was bedeutet hurensohn", "du bist ein hurensohn"),
        ("quelle est l étymologie de connard", "espèce de connard"),
        ("qué significa gilipollas", "eres un gilipollas"),
        ("o que significa babaca", "seu babaca"),
    ],
)
def test_shipped_weights_distinguish_mention_from_use(neutral: str, offending: str) -> None:
    shipped = context.load()
    assert shipped.log_odds(neutral.split(), "") < -1 < shipped.log_odds(offending.split(), "")
