import pytest

from pipeline.filters.toxicity import names, scoring


def remove(text: str) -> str:
    return " ".join(word for each in scoring.passages(text) for word in names.remove(each.words, text))


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("Who wrote Moby Dick?", "who wrote"),
        ("tell me about moby-dick", "tell me about"),
        ("Moby Dick", ""),
        ("Dick Chambers was a painter.", "chambers was a painter"),
        ("Dick Chambers's dog", "chambers s dog"),
        ("Susan K. Dick wrote it.", "susan k wrote it"),
        ("Was Dick Chambers a dick?", "was chambers a dick"),
    ],
)
def test_names_and_expressions_are_left_out(text: str, rest: str) -> None:
    assert remove(text) == rest


@pytest.mark.parametrize(
    "text",
    ["you dick", "Suck My Dick", "you are a Stupid Dick", "Big Dick", "USER Dick", "a moby", "The Dick", ""],
)
def test_other_uses_stay(text: str) -> None:
    assert remove(text) == text.lower()
