import pytest
from datatrove.data import Document
from datatrove.pipeline.filters.c4_filters import C4QualityFilter
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import analyse, analyse_together
from pipeline.filters.heuristics import c4

LINES = [
    "Three words here.",
    "  Three words here, unfinished  ",
    "Two words.",
    "",
    "Enable JavaScript to go on.",
    "JavaScript with { a bracket.",
    "Read our Privacy Policy now.",
    "A lorem ipsum line here.",
    "A bracket { lies here.",
    "As was shown [12] by others [citation needed].",
    "It goes on and on...",
    "a b " + "x" * 1001,
    '"She said so!"',
]


FAILS = {
    "lorem_ipsum": lambda metrics: metrics["c4_lorem_ipsum"] > 0,
    "curly_bracket": lambda metrics: metrics["c4_curly_brackets"] > 0,
    "too_few_sentences": lambda metrics: metrics["c4_sentences"] < 5,
}


@given(st.lists(st.sampled_from(LINES)), st.booleans())
def test_decides_as_datatrove(lines: list[str], terminal_punctuation: bool) -> None:
    text = "\n".join(lines)
    document = Document(text=text, id="")
    oracle = C4QualityFilter(filter_no_terminal_punct=terminal_punctuation)
    decision, page = (
        oracle.filter(document),
        c4.clean(analyse(text), terminal_punctuation=terminal_punctuation),
    )
    if decision is True:
        assert "\n".join(page.lines(0).values()).strip() == document.text
        assert not any(fails(page.metrics) for fails in FAILS.values())
    else:
        assert FAILS[decision[1]](page.metrics)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("One sentence of words", 1),
        ("One is here. Two is here! Three is here? Yes", 4),
        ("He said “so.” Then he left.\nAnother line is here.", 3),
        ("Version 3.14 is out... and it works. Or not", 2),
        ("第一句 到 这里。第二句。第三句！", 3),
    ],
)
def test_sentence_count(text: str, sentences: int) -> None:
    assert c4.clean(analyse(text), terminal_punctuation=False).metrics["c4_sentences"].tolist() == [sentences]


@given(st.lists(st.lists(st.sampled_from([*LINES, "İ [edit] {"])).map("\n".join), min_size=1), st.booleans())
def test_texts_cleaned_together_are_as_alone(texts: list[str], terminal_punctuation: bool) -> None:
    together = c4.clean(analyse_together(texts), terminal_punctuation=terminal_punctuation)
    for index, text in enumerate(texts):
        alone = c4.clean(analyse(text), terminal_punctuation=terminal_punctuation)
        assert together.lines(index) == alone.lines(0)
        assert (index in together.edited_texts()) == bool(alone.edited)
        assert {name: each[index] for name, each in together.metrics.items()} == alone.metrics
