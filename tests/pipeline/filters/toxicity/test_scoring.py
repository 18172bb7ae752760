import hashlib
from importlib import resources
from pathlib import Path

import fasttext
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError
from pipeline.filters import toxicity
from pipeline.filters.classifier.model import Classifier, prepare


@pytest.mark.parametrize(
    "text",
    [
        "you are a stupid bitch and nobody likes you, go to hell",
        "Du bist so ein dummes Arschloch, du dreckiges Pack",
        "vai se foder seu filho da puta",
        "ta gueule, sale connard",
        "You sh1t, f u c k off",
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
        "Gay and lesbian couples may marry in this country since 2015.",
    ],
)
def test_medicine_towns_wars_and_identities_score_low(text: str) -> None:
    assert toxicity.score(text) < 0.5


def test_score_of_a_long_text_is_the_mean_of_its_passages() -> None:
    clean = "The museum of the town shows how ships were built in earlier times, and opens at nine. " * 20
    insult = "you are a stupid bitch and nobody likes you, go to hell"
    assert toxicity.score(clean) < toxicity.score(f"{clean} {insult}") < toxicity.score(insult)


def test_windows_cover_all_of_a_very_long_text() -> None:
    clean = "The museum of the town shows how ships were built in earlier times, and opens at nine. " * 500
    insults = "you are a stupid bitch and nobody likes you, go to hell. " * 750
    half, whole = toxicity.score(clean + insults), toxicity.score(insults)
    assert half == pytest.approx((toxicity.score(clean) + whole) / 2, abs=0.05)


@pytest.mark.parametrize("text", ["", " \n", "...", "https://a.org", "\ud800"])
def test_text_without_words_scores_zero(text: str) -> None:
    assert toxicity.score(text) == 0


@given(st.text())
def test_any_text_scores_between_zero_and_one(text: str) -> None:
    assert 0 <= toxicity.score(text) <= 1


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


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of words and word pairs, with the labels of the Jigsaw data set."""
    folder = tmp_path_factory.mktemp("model")
    lines = ["__label__toxic bad awful words here", "__label__non_toxic good kind words there"] * 50
    (folder / "lines.txt").write_text("\n".join(lines))
    model = fasttext.train_supervised(
        str(folder / "lines.txt"), wordNgrams=2, dim=4, thread=1, verbose=0, epoch=25
    )
    model.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def test_other_model_is_loaded_by_path_and_its_positive_label_found(other_model: Path) -> None:
    scorer = toxicity.load(str(other_model))
    bad, good = scorer.scores(["bad awful", "good kind"])
    assert good < 0.5 < bad


def test_listed_words_raise_the_score_by_their_share(tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "en").write_text("Gristle\ntwo words\n")
    scorer = toxicity.load("", str(tmp_path / "words"))
    few = "gristle and some twenty other words that are all of them different from each other ".split()
    assert scorer.score("what gristle") == 1
    assert toxicity.score(" ".join(few)) < scorer.score(" ".join(few)) < 1
    assert scorer.score("a town by the sea") == toxicity.score("a town by the sea")


def test_files_that_are_not_a_model_or_text_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not a fastText model"):
        toxicity.load(str(tmp_path / "bad"))
    with pytest.raises(InputError, match="cannot be read"):
        toxicity.load("", str(tmp_path / "bad"))


def test_labels_must_be_two_with_one_negation(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("__label__a x\n__label__b y\n" * 20)
    model = fasttext.train_supervised(str(tmp_path / "lines.txt"), dim=4, thread=1, verbose=0)
    model.save_model(str(tmp_path / "model.bin"))
    with pytest.raises(InputError, match="must have two"):
        Classifier(tmp_path / "model.bin")


def test_card_describes_the_shipped_model_which_is_small() -> None:
    folder = Path(str(resources.files("pipeline.filters.toxicity")))
    model, card = (folder / toxicity.MODEL).read_bytes(), (folder / "models/toxicity.md").read_text("utf-8")
    assert f"| {len(model):,} bytes |" in card and hashlib.sha256(model).hexdigest() in card
    weights = (folder / f"data/{kind}_weights.txt" for kind in ("word", "context"))
    assert len(model) + sum(each.stat().st_size for each in weights) <= 3_000_000


def test_scores_equal_those_of_fasttext() -> None:
    classifier = Classifier(Path(str(resources.files("pipeline.filters.toxicity").joinpath(toxicity.MODEL))))
    for text in ["you idiot", "a town by the sea", "völlig verrückt"]:
        line = prepare(text)
        own = {label: score for score, label in classifier._model.f.predict(line + "\n", 2, 0.0, "strict")}
        assert classifier.score(text) == pytest.approx(own["__label__positive"], abs=1e-4)
