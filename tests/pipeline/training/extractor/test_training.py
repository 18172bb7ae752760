import gzip
import json
from importlib.resources import files
from pathlib import Path

import lightgbm
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, OutputError
from pipeline.extraction.html.main_content import Model, ModelFiles
from pipeline.training.extractor import training
from pipeline.training.extractor.__main__ import main
from pipeline.training.extractor.alignment import align, split_words
from pipeline.training.extractor.gold import GoldPage, load_gold_pages
from pipeline.training.extractor.training import NameStatistics, fit, label, to_onnx

TEXTS = st.lists(st.lists(st.sampled_from("a b c d e f g".split()), max_size=8).map(" ".join), max_size=12)


def test_each_word_of_the_gold_text_is_matched_once() -> None:
    page = [
        "Home",
        "The quick brown fox jumps",
        "over the lazy dog",
        "Home page contact shop login",
        "The end",
    ]
    gold = "The quick brown fox jumps over the lazy dog. The end"
    assert align(page, gold) == ([0, 5, 4, 0, 2], [1, 5, 4, 5, 2])


@given(TEXTS, TEXTS)
def test_matches_do_not_exceed_words(page: list[str], gold: list[str]) -> None:
    matched, counts = align(page, "\n".join(gold))
    assert counts == [len(split_words(text)) for text in page]
    assert all(0 <= each <= count for each, count in zip(matched, counts, strict=True))
    assert sum(matched) <= sum(len(split_words(text)) for text in gold)


@given(TEXTS)
def test_identical_text_matches_completely(page: list[str]) -> None:
    matched, counts = align(page, "\n".join(page))
    long = sum(counts) >= 12
    assert matched == counts or not long


def build_page(site: str, number: int) -> GoldPage:
    prose = " ".join(f"word{(number * 7 + place) % 50}" for place in range(60)) + "."
    menu = '<div class="menu">' + "Home Shop Contact " * 9 + "</div>"
    html = f'{menu}<div class="story"><p>{prose}</p><p>{prose[::-1]}</p></div>'
    return GoldPage(html, f"https://{site}/a-{number}", site, f"{prose}\n{prose[::-1]}")


def test_names_are_scored_without_the_own_site_of_a_page() -> None:
    pages = [page for number in range(6) if (page := label(build_page(f"s{number % 3}.org", number)))]
    statistics = NameStatistics(pages)
    scores = statistics.scores()
    assert scores["menu"] < 0 < scores["story"]
    without = statistics.scores(without="s0.org")
    assert without.keys() == scores.keys()
    assert without["menu"] > scores["menu"]  # the prior weighs more
    assert "menu" not in NameStatistics(pages[:1]).scores()


def test_training_is_effective_and_deterministic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LARGE_FOREST", training.SMALL_FOREST)
    pages = [page for number in range(200) if (page := label(build_page(f"s{number % 9}.org", number)))]
    trained = fit(pages)
    assert trained == fit(pages)
    shares, _ = Model(trained).shares(pages[0].blocks, "")
    assert shares[0] < 0.5 < min(shares[1:])


def test_onnx_trees_predict_the_same_as_lightgbm() -> None:
    random = np.random.default_rng(1)
    matrix = random.normal(size=(500, 6)).astype(np.float32)
    target = 1 / (1 + np.exp(-matrix[:, 0] - matrix[:, 1] * matrix[:, 2]))
    parameters = {**training.LIGHTGBM_PARAMETERS, "min_data_in_leaf": 5}
    booster = lightgbm.train(parameters, lightgbm.Dataset(matrix, target), 20)
    session = onnxruntime.InferenceSession(to_onnx(booster.dump_model(), 6))
    (margins,) = session.run(None, {"features": matrix})
    np.testing.assert_allclose(margins[:, 0], booster.predict(matrix, raw_score=True), atol=1e-5)


def test_page_without_gold_is_not_labeled() -> None:
    assert label(GoldPage("<p>text</p>", "", "", "")) is None
    assert label(GoldPage("<p>text</p>", "", "", "other words")) is None


def write_gold(folder: Path, pages: list[GoldPage]) -> list[str]:
    """Write the pages and their gold text; return the paths as command-line arguments."""
    warc, gold = folder / "pages.warc.gz", folder / "gold.jsonl.gz"
    records = []
    for page in pages:
        body = page.html.encode()
        response = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + body
        header = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {page.url}\r\n"
        header += f"Content-Type: application/http\r\nContent-Length: {len(response)}\r\n\r\n"
        records.append(gzip.compress(header.encode() + response + b"\r\n\r\n"))
    warc.write_bytes(b"".join(records))
    entries = [{"url": page.url, "main_content": page.gold, "page_type": page.page_type} for page in pages]
    gold.write_bytes(gzip.compress("\n".join(map(json.dumps, entries)).encode()))
    return [str(warc), str(gold)]


def test_gold_pages_are_those_with_gold_text(tmp_path: Path) -> None:
    pages = [
        GoldPage(f"<p>Père {name}", f"https://www.{name}.co.uk/x", f"{name}.co.uk", name, "forum")
        for name in "abc"
    ]
    warc, _ = write_gold(tmp_path, pages)
    (tmp_path / "part").mkdir()
    _, gold = write_gold(tmp_path / "part", pages[1:])
    assert load_gold_pages(warc, gold) == pages[1:]


def test_gold_without_matching_pages_is_rejected(tmp_path: Path) -> None:
    paths = write_gold(tmp_path, [build_page("a.org", 1)])
    (tmp_path / "gold.jsonl.gz").write_bytes(gzip.compress(b'{"url": "https://b.org"}\n'))
    with pytest.raises(InputError, match="no response has one of the 1 URLs"):
        load_gold_pages(*paths)


def test_command_writes_a_model_that_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LARGE_FOREST", training.SMALL_FOREST)
    pages = [build_page(f"s{number % 9}.org", number) for number in range(200)]
    paths = write_gold(tmp_path, pages)
    with pytest.raises(OutputError, match="no such folder"):
        main([*paths, "--to", str(tmp_path / "models")])
    (tmp_path / "models").mkdir()
    main([*paths, "--to", str(tmp_path / "models")])
    expected = fit([labeled for page in pages if (labeled := label(page))])
    assert ModelFiles.load(tmp_path / "models") == expected


def test_shipped_model_has_the_calibration_that_training_writes() -> None:
    folder = files("pipeline.extraction.html") / "models"
    assert ModelFiles.load(folder).calibration == training.CALIBRATION
