import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dedup.cuts import Span, cut
from tests.pipeline.dedup import oracle

REMOVED = re.compile(r"\[.*?\]", re.DOTALL)

THREE_BREAKS = re.compile(r"\n[^\S\n]*\n[^\S\n]*\n")

EXAMPLES = {
    "one\n[two]\nthree": "one\nthree",
    "one\n\n[two]\n\nthree": "one\n\nthree",
    "one\n[two]\n\nthree": "one\n\nthree",
    "one\n\n[two]\n[three]\nfour": "one\n\nfour",
    "one\n[two]\n[three]\n[four]\nfive": "one\nfive",
    "one [two] three": "one three",
    "one [two]\nthree": "one\nthree",
    "one\n[two] three": "one\nthree",
    "one [two\ntwo] three": "one\nthree",
    "one [two\n\ntwo] three": "one\n\nthree",
    "[one]\ntwo\n[three]": "two",
    "[one]": "",
    " [one]\n": "",
    "def f():\n    [one]\n    two": "def f():\n    two",
    "[one]\n    two": "    two",
    "one.   [two]": "one.",
    "甲乙[丙丁]戊": "甲乙戊",
    "甲乙。[丙丁]，戊": "甲乙。，戊",
    "甲 [乙]丙": "甲 丙",
    "one[甲乙]two": "one two",
    "one,[甲乙]two": "one, two",
    "one[甲乙]丙": "one丙",
    "one\r\n[two]\r\nthree": "one\nthree",
    "one  two\n\n\nthree": "one  two\n\n\nthree",
}


@pytest.mark.parametrize("marked", EXAMPLES)
def test_white_space_around_cuts(marked):
    """The examples mark what is cut by brackets."""
    spans = []
    for number, each in enumerate(REMOVED.finditer(marked)):
        start = each.start() - 2 * number
        spans.append(Span(start, start + len(each[0]) - 2))
    text = marked.replace("[", "").replace("]", "")
    assert cut(text, spans) == EXAMPLES[marked]


@st.composite
def texts_with_spans(draw):
    text = draw(st.text("ab.甲乙\u0301 \n\t", max_size=40))
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return text, [Span(*pair) for pair in zip(edges[::2], edges[1::2], strict=False)]


def _rest(text, spans):
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return [text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


@given(texts_with_spans())
def test_every_character_outside_the_spans_stays(drawn):
    text, spans = drawn
    assert "".join(cut(text, spans).split()) == "".join("".join(_rest(text, spans)).split())


@given(texts_with_spans())
def test_words_are_not_joined(drawn):
    """Cutting keeps word boundaries, except next to scripts without spaces, which may have none."""
    text, spans = drawn
    expected = [part[start:end] for part in _rest(text, spans) for start, end in oracle.words(part)]
    result = cut(text, spans)
    found = [result[start:end] for start, end in oracle.words(result)]
    if any(re.search("[\u0301甲乙]", each) or not re.search("[ab]", each) for each in expected):
        expected, found = (["".join(each)] for each in (expected, found))
    assert found == expected


@given(texts_with_spans())
def test_lines_and_paragraphs_are_neither_joined_nor_multiplied(drawn):
    text, spans = drawn
    result = cut(text, spans)
    removed = {position for start, end in spans for position in range(start, end)}
    marked = "".join("#" if index in removed and each.strip() else each for index, each in enumerate(text))
    for separator in (r"\n[^\S\n]*\n", r"\n"):
        assert _split(separator, result) == _split(separator, marked)
    if not THREE_BREAKS.search(text):
        assert not THREE_BREAKS.search(result)


def _split(separator, text):
    """Return the parts without white space, but for those of which nothing is left."""
    parts = (re.sub(r"[#\s]", "", each) for each in re.split(separator, text))
    return [each for each in parts if each]


@given(texts_with_spans())
def test_nothing_else_changes(drawn):
    text, spans = drawn
    assert cut(text, ()) == text
    if spans:
        before = text[: spans[0].start].rstrip()
        assert cut(text, spans).startswith(before)
        after = text[spans[-1].end :].lstrip()
        assert cut(text, spans).endswith(after)
