import lightgbm
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.html import training
from pipeline.extraction.html.alignment import aligned, words
from pipeline.extraction.html.main_content import Model
from pipeline.extraction.html.training import NameStatistics, Page, fit, label, to_onnx

TEXTS = st.lists(st.lists(st.sampled_from("a b c d e f g".split()), max_size=8).map(" ".join), max_size=12)


def test_words_of_the_gold_text_are_found_once() -> None:
    page = [
        "Home",
        "The quick brown fox jumps",
        "over the lazy dog",
        "Home page contact shop login",
        "The end",
    ]
    gold = "The quick brown fox jumps over the lazy dog. The end"
    assert aligned(page, gold) == ([0, 5, 4, 0, 2], [1, 5, 4, 5, 2])


@given(TEXTS, TEXTS)
def test_never_more_words_than_there_are(page: list[str], gold: list[str]) -> None:
    matched, counts = aligned(page, "\n".join(gold))
    assert counts == [len(words(text)) for text in page]
    assert all(0 <= each <= count for each, count in zip(matched, counts, strict=True))
    assert sum(matched) <= sum(len(words(text)) for text in gold)


@given(TEXTS)
def test_a_text_is_all_of_itself(page: list[str]) -> None:
    matched, counts = aligned(page, "\n".join(page))
    long = sum(counts) >= 12
    assert matched == counts or not long


def made(site: str, number: int) -> Page:
    prose = " ".join(f"word{(number * 7 + place) % 50}" for place in range(60)) + "."
    menu = '<div class="menu">' + "Home Shop Contact " * 9 + "</div>"
    html = f'{menu}<div class="story"><p>{prose}</p><p>{prose[::-1]}</p></div>'
    return Page(html, f"https://{site}/a-{number}", site, f"{prose}\n{prose[::-1]}")


def test_names_are_scored_without_the_pages_own_site() -> None:
    pages = [page for number in range(6) if (page := label(made(f"s{number % 3}.org", number)))]
    statistics = NameStatistics(pages)
    scores = statistics.scores()
    assert scores["menu"] < 0 < scores["story"]
    without = statistics.scores(without="s0.org")
    assert without.keys() == scores.keys()
    assert without["menu"] > scores["menu"]  # fewer sites, more doubt
    assert "menu" not in NameStatistics(pages[:1]).scores()


def test_it_learns_and_learns_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MANY", training.FEW)
    pages = [page for number in range(200) if (page := label(made(f"s{number % 9}.org", number)))]
    forests, names = fit(pages)
    assert (forests, names) == fit(pages)
    shares, _ = Model(forests, names).shares(pages[0].blocks, "")
    assert shares[0] < 0.5 < min(shares[1:])


def test_the_trees_say_the_same_in_both_forms() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(500, 6)).astype(np.float32)
    target = 1 / (1 + np.exp(-matrix[:, 0] - matrix[:, 1] * matrix[:, 2]))
    settings = {**training.SETTINGS, "min_data_in_leaf": 5}
    booster = lightgbm.train(settings, lightgbm.Dataset(matrix, target), 20)
    session = onnxruntime.InferenceSession(to_onnx(booster.dump_model(), 6))
    (margins,) = session.run(None, {"features": matrix})
    np.testing.assert_allclose(margins[:, 0], booster.predict(matrix, raw_score=True), atol=1e-5)


def test_a_page_without_gold_teaches_nothing() -> None:
    assert label(Page("<p>text</p>", "", "", "")) is None
    assert label(Page("<p>text</p>", "", "", "other words")) is None
