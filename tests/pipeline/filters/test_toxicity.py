import pytest

from pipeline.filters import toxicity
from pipeline.filters.classifier import prepare


@pytest.mark.parametrize(
    "text",
    [
        "you are a stupid bitch and nobody likes you, go to hell",
        "Du bist so ein dummes Arschloch, du dreckiges Pack",
        "vai se foder seu filho da puta",
    ],
)
def test_insults_score_high(text: str) -> None:
    assert toxicity.score(text) > 0.5


@pytest.mark.parametrize(
    "text",
    [
        "Breast cancer is the most common cancer among women; sexual health clinics offer screening.",
        "Scunthorpe is an industrial town in Lincolnshire, with a museum and a football club.",
        "The battle cost thousands of lives; prisoners were killed and villages burnt down in 1643.",
        "Die Stadt liegt am Rhein und hat etwa zwanzigtausend Einwohner.",
    ],
)
def test_medicine_towns_and_wars_stay_below_the_threshold(text: str) -> None:
    assert toxicity.score(text) < 0.9


@pytest.mark.parametrize("text", ["", " \n", "...", "https://a.org", "\ud800"])
def test_nothing_to_read_scores_zero(text: str) -> None:
    assert toxicity.score(text) == 0


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("Tom &amp; Jerry,\n here", "tom jerry here"),
        ("@user see https://t.co/x now!", "see now"),
        ("snake_case \x00 é", "snake case é"),
    ],
)
def test_prepare(text: str, prepared: str) -> None:
    assert prepare(text) == prepared
