from pipeline.filters.toxicity import word_weights
from pipeline.filters.toxicity.word_weights import WordWeights

WEIGHTS = WordWeights({"en": {"fool": 3, "thanks": -2, "die": 4}, "pt": {"burro": 2}})


def test_weights_are_summed() -> None:
    assert WEIGHTS.total(["you", "fool", "thanks"], "en") == 1
    assert WEIGHTS.total([], "en") == 0


def test_other_languages_use_all_weights_but_of_words_common_in_any_other_language() -> None:
    assert WEIGHTS.total(["burro", "fool"], "pt") == 2
    assert WEIGHTS.total(["burro", "fool", "die"], "de") == 5
    assert WEIGHTS.total(["die"], "en") == 4


def test_weights_of_a_language_can_be_left_out() -> None:
    assert WEIGHTS.without("en").total(["fool", "burro"], "en") == 2


def test_insults_have_weights_and_groups_medicine_and_names_do_not() -> None:
    shipped = word_weights.load()
    assert (
        shipped.total(["idiot"], "en") > shipped.total(["silly"], "en") > 0 > shipped.total(["thanks"], "en")
    )
    assert shipped.total(["arsch"], "de") > 0 < shipped.total(["babaca"], "pt")
    for word in ["gay", "women", "muslims", "jews", "black", "cancer", "penis", "mother", "warner", "mexico"]:
        assert shipped.total([word], "en") == 0
