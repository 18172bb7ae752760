import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import analyse, analyse_together
from pipeline.filters.heuristics.refinedweb import correct


def corrected_text(text: str) -> str:
    return correct(analyse(text)).texts().get(0, text)


PROSE = "The harbour lies on the north side of the island and has been in use for long."


@pytest.mark.parametrize(
    "line",
    [
        "LATEST NEWS FROM the town",
        "ÄÖÜ ÄÖÜ",
        "1931",
        "12 34 56",
        "3 likes",
        "1.2K views ",
        "• 1,204 Comments •",
        "Home",
        " Share ",
        "Sign-in",
        "Read more...",
        "items in cart",
    ],
)
def test_removed_lines(line: str) -> None:
    text = f"{PROSE}\n{line}\n{PROSE}"
    assert corrected_text(text) == f"{PROSE}\n{PROSE}"
    removed = len(line.split())
    assert correct(analyse(text)).metrics == {
        "refinedweb_removed_words": removed / (removed + 2 * len(PROSE.split()))
    }


@pytest.mark.parametrize(
    "line",
    [
        PROSE,
        "",
        "NASA and ESA agreed",
        "In 1931 it rained",
        "3 likes and a comment",
        "He likes views",
        "We signed in blood",
        "Signs in town",
        f"{PROSE} Read more...",
    ],
)
def test_kept_lines(line: str) -> None:
    corrected = correct(analyse(f"{PROSE}\n{line}\n{PROSE}"))
    assert corrected.texts() == {}
    assert corrected.metrics == {"refinedweb_removed_words": 0}


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("Sign in to the old town", "to the old town"),
        ("The town is old. Read more…", "The town is old."),
        ("You have 3 Items in Cart now", "You have 3 now"),
    ],
)
def test_phrases_are_removed_from_short_lines(line: str, left: str) -> None:
    assert corrected_text(line) == left


@given(st.lists(st.sampled_from(["Home", "3 likes", "SALE NOW", PROSE, "", "It is old. Read more"])))
def test_correction_only_removes_and_is_idempotent(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert 0 <= correct(analyse(text)).metrics["refinedweb_removed_words"] <= 1
    once = corrected_text(text)
    assert set(once.split()) <= set(text.split())
    assert corrected_text(once) == once


@given(st.lists(st.lists(st.sampled_from(["Home", "3 likes", "İ", PROSE, "", "It is old. Read more"]))))
def test_texts_corrected_together_are_as_alone(lines: list[list[str]]) -> None:
    texts = ["\n".join(each) for each in [*lines, []]]
    together = correct(analyse_together(texts))
    for index, text in enumerate(texts):
        assert together.texts().get(index, text) == corrected_text(text)
        alone = correct(analyse(text)).metrics
        assert {name: values[index] for name, values in together.metrics.items()} == alone
