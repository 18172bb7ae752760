import pytest

from pipeline.filters.language import identify

ENGLISH = "The committee will meet on Thursday to discuss the results of the survey."


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        ("Der Ausschuss trifft sich am Donnerstag, um die Ergebnisse zu besprechen.", "de"),
        ("Le comité se réunira jeudi pour discuter\ndes résultats de l'enquête.", "fr"),
        ("委员会将于星期四开会讨论调查结果。", "zh"),
        ("Комитет соберётся в четверг, чтобы обсудить результаты.", "ru"),
    ],
)
def test_identifies(text: str, code: str) -> None:
    language, score = identify(text)
    assert language == code and 0.65 < score <= 1


def test_declared_language_is_taken_at_its_word_and_scored() -> None:
    assert identify(ENGLISH, "en") == identify(ENGLISH, "en-US") == identify(ENGLISH)
    language, score = identify(ENGLISH, "fr")
    assert language == "fr" and score < 0.1


def test_language_that_the_model_does_not_know_is_not_doubted() -> None:
    assert identify("Latgola ir", "ltg") == ("ltg", 1.0)


@pytest.mark.parametrize("text", ["", " \n\t", "\x00"])
def test_nothing_has_no_language(text: str) -> None:
    assert identify(text)[1] < 0.3


def test_lone_surrogates_and_long_texts() -> None:
    assert identify("\ud800 " + ENGLISH * 5000)[0] == "en"
