from pipeline.filters.toxicity import word_weights
from pipeline.filters.toxicity.word_weights import Grades

SOME = Grades({"en": {"fool": 3, "thanks": -2, "die": 4}, "pt": {"burro": 2}})


def test_the_grades_of_all_words_are_summed() -> None:
    assert SOME.of(["you", "fool", "thanks"], "en") == 1
    assert SOME.of([], "en") == 0


def test_languages_without_grades_have_those_of_others_except_of_words_common_anywhere_else() -> None:
    assert SOME.of(["burro", "fool"], "pt") == 2
    assert SOME.of(["burro", "fool", "die"], "de") == 5
    assert SOME.of(["die"], "en") == 4


def test_grades_can_be_left_out_by_language() -> None:
    assert SOME.without("en").of(["fool", "burro"], "en") == 2


def test_insults_are_graded_and_groups_medicine_and_names_are_not() -> None:
    shipped = word_weights.load()
    assert shipped.of(["idiot"], "en") > shipped.of(["silly"], "en") > 0 > shipped.of(["thanks"], "en")
    assert shipped.of(["arsch"], "de") > 0 < shipped.of(["babaca"], "pt")
    for word in ["gay", "women", "muslims", "jews", "black", "cancer", "penis", "mother", "warner", "mexico"]:
        assert shipped.of([word], "en") == 0
