from pathlib import Path

import fasttext
import pytest

from core.errors import InputError
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
def test_identify(text: str, code: str) -> None:
    language, score = identify(text)
    assert language == code and 0.65 < score <= 1


def test_declared_language_is_returned_and_scored() -> None:
    assert identify(ENGLISH, "en") == identify(ENGLISH, "en-US") == identify(ENGLISH)
    language, score = identify(ENGLISH, "fr")
    assert language == "fr" and score < 0.1


def test_declared_language_unknown_to_the_model_scores_one() -> None:
    assert identify("Latgola ir", "ltg") == ("ltg", 1.0)


@pytest.mark.parametrize("text", ["", " \n\t", "\x00"])
def test_empty_text_scores_low(text: str) -> None:
    assert identify(text)[1] < 0.3


def test_lone_surrogates_and_long_texts() -> None:
    assert identify("\ud800 " + ENGLISH * 5000)[0] == "en"


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with labels by language and script, as in GlotLID."""
    lines = [
        "__label__eng_Latn the committee will meet to discuss the results",
        "__label__deu_Latn der ausschuss trifft sich um die ergebnisse zu besprechen",
        "__label__arb_Arab ستجتمع اللجنة لمناقشة النتائج",
        "__label__srp_Latn odbor se sastaje da raspravi rezultate",
        "__label__srp_Cyrl одбор се састаје да расправи резултате",
        "__label__gsw_Latn dr uusschuss trifft sech zum d ergäbnis z bespräche",
        "__label__cmn_Hani 委员会 将 开会 讨论 结果",
    ]
    folder = tmp_path_factory.mktemp("languages")
    (folder / "lines.txt").write_text("\n".join(lines * 20), encoding="utf-8")
    fasttext.train_supervised(
        str(folder / "lines.txt"), dim=8, epoch=60, lr=1.0, minCount=1, bucket=0, thread=1, verbose=0
    ).save_model(str(folder / "other.bin"))
    return str(folder / "other.bin")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("the results", "en"),
        ("die ergebnisse", "de"),
        ("لمناقشة النتائج", "ar"),
        ("da raspravi rezultate", "sr-Latn"),
        ("да расправи резултате", "sr"),
        ("zum d ergäbnis", "gsw"),
        ("讨论 结果", "zh"),
    ],
)
def test_other_model_by_path(text: str, code: str, other_model: str) -> None:
    language, score = identify(text, model=other_model)
    assert language == code and 0.5 < score <= 1
    assert identify(text, "en", other_model)[0] == "en"
    assert identify(text, "fr", other_model) == ("fr", 1.0)


def test_codes_of_the_packaged_model_are_ours() -> None:
    assert identify("Dr Uusschuss", "als")[0] == "als"
    assert identify(ENGLISH, "simple")[0] == "en"


def test_invalid_model_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_text("not a model")
    with pytest.raises(InputError, match="name a fastText model"):
        identify(ENGLISH, model=str(tmp_path / "text.bin"))
    with pytest.raises(InputError, match="nothing there"):
        identify(ENGLISH, model=str(tmp_path / "none.bin"))
