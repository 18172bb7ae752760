import threading
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.filters import linear, toxicity
from pipeline.filters.classifier import Classifier, split

LINES = [split(text) for text in ("you stupid idiot", "a town by the sea", "völlig verrückt", "今天天气很好")]


@pytest.fixture(scope="module")
def path() -> Path:
    return Path(str(resources.files("pipeline.filters").joinpath(toxicity.MODEL)))


@pytest.fixture(scope="module")
def fasttexts(path: Path) -> Classifier:
    return Classifier(path)


@pytest.fixture(scope="module")
def ours(path: Path) -> linear.Linear:
    return linear.Linear(path)


def agree(ours: linear.Linear, fasttexts: Classifier, lines: list[list[str]]) -> bool:
    """Where fastText's own probabilities, to seven digits, still tell log-odds apart."""
    theirs = [fasttexts.logit(" ".join(line)) for line in lines]
    return np.allclose(np.clip(ours.logits(lines), -12, 12), np.clip(theirs, -12, 12), rtol=1e-3, atol=1e-4)


@given(st.lists(st.text().map(split).filter(bool), min_size=1))
def test_log_odds_are_fasttexts_own(
    fasttexts: Classifier, ours: linear.Linear, lines: list[list[str]]
) -> None:
    assert agree(ours, fasttexts, lines)


def test_long_words_too(fasttexts: Classifier, ours: linear.Linear) -> None:
    lines = [["donaudampfschifffahrtsgesellschaft", "ก" * 500, "a"], ["x" * 10_000]]
    assert agree(ours, fasttexts, lines)


def test_forgetting_changes_nothing(
    fasttexts: Classifier, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "KNOWN", 6)
    forgetful = linear.Linear(path)
    for line in LINES * 2:
        assert agree(forgetful, fasttexts, [line])


def test_several_threads_may_ask(path: Path) -> None:
    shared, alone = linear.Linear(path), linear.Linear(path)
    lines = [[f"{word}{number}" for word in ("stupid", "town", "sea")] for number in range(2000)]
    found: list[np.ndarray] = [np.empty(0)] * 4

    def ask(place: int) -> None:
        found[place] = np.concatenate([shared.logits([line]) for line in lines])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(each, alone.logits(lines)) for each in found)
