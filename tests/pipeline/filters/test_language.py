import re
import unicodedata
from pathlib import Path

import fasttext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from pipeline.filters.language import identify, repair
from pipeline.languages.codes import UNKNOWN

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


ENGLISH_TITLE = "Results of the survey"
"""Too short to contradict a declaration."""


def typed(text: str) -> dict[str, str]:
    """Return the text as people type it."""
    return {
        "capitals": text.upper(),
        "title case": text.title(),
        "no punctuation": "".join(each if each.isalnum() else " " for each in text),
        "doubled spaces": text.replace(" ", "  "),
        "no-break spaces": text.replace(" ", "\u00a0"),
        "spaced letters": " ".join(text),
        "decomposed": unicodedata.normalize("NFD", text),
        "soft hyphens": text.replace("er", "e\u00adr").replace("ta", "t\u200ba"),
        "numbers": f"2024-05-11 12:30 {text} 0815 99,5 %",
        "addresses": f"{text} https://www.example.com/index.php?id=1&ref=home info@example.org @example #now",
        "emoji": f"😀🎉 {text} 🔥🔥🔥 ❤️",
        "code": f"{text}\nself.items[key] = foo(bar); x != y",
        "another script": f"{text} (Москва)" if text.isascii() else f"{text} (Windows)",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        ("Der alte Leuchtturm steht an der Nordspitze der Insel und wird im Sommer besucht.", "de"),
        ("O velho farol fica na ponta norte da ilha e recebe visitas durante o verão.", "pt"),
        ("Stará věž stojí na severním konci ostrova a v létě ji navštěvují turisté.", "cs"),
        ("Старий маяк стоїть на північному краю острова, і влітку його відвідують.", "uk"),
    ],
)
def test_identification_does_not_depend_on_typing(text: str, code: str) -> None:
    assert {name: identify(form)[0] for name, form in typed(text).items()} == dict.fromkeys(typed(text), code)


@pytest.mark.parametrize("text", [ENGLISH, "Das ist ein Test, nicht mehr.", "ÀÉ ñ 漢字 ไทย", "İstanbul'da"])
def test_prose_is_not_repaired(text: str) -> None:
    assert repair(text) == text


@given(st.text(max_size=60))
def test_repairing_twice_is_repairing_once(text: str) -> None:
    line = repair(text)
    assert repair(line) == line and not re.search(r"[\n\u00a0\u00ad]", line)


@pytest.mark.parametrize("text", ["", " \n", "12 34", "!!!", "Hotel", "Paris Hilton", "a b c"])
def test_the_language_of_too_little_text_is_unknown(text: str) -> None:
    assert identify(text)[0] == UNKNOWN


def test_text_in_capitals_scores_like_the_same_text_in_lower_case() -> None:
    assert identify(ENGLISH.upper())[1] == identify(ENGLISH.lower())[1] > 0.65


def test_declared_language_is_returned_and_scored() -> None:
    assert identify(ENGLISH, "en") == identify(ENGLISH, "en-US") == identify(ENGLISH, "English")
    language, score = identify(ENGLISH_TITLE, "fr")
    assert language == "fr" and score < 0.2


@pytest.mark.parametrize("placeholder", ["und", "unknown", "N/A", "-", "", "xyz"])
def test_without_a_declared_language_it_is_identified(placeholder: str) -> None:
    assert identify(ENGLISH, placeholder) == identify(ENGLISH)


def test_a_long_text_that_is_clearly_in_another_language_is_not_believed_to_be_in_the_declared_one() -> None:
    assert identify(ENGLISH * 2, "fr") == identify(ENGLISH * 2)
    croatian = "Stari svjetionik stoji na sjeveru otoka, a ljeti ga posjećuju mnogi putnici i turisti. " * 2
    assert identify(croatian, "bs")[0] == "bs"  # written almost alike
    assert identify(croatian, "ltg")[0] == "ltg"  # the model does not know it
    assert identify(croatian, "German")[0] in ("hr", "sr", "sh", "bs")


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
