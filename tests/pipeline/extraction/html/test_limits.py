import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.html.limits import check_nesting, limit_attributes
from pipeline.extraction.html.main_content import main_content
from pipeline.extraction.html.segmentation import parse_blocks


@pytest.mark.parametrize("form", ["a{}", "a{}=1", 'a{}="v w"'])
def test_excess_attributes_are_dropped_with_their_tag_kept(form: str) -> None:
    attributes = " ".join(form.format(number) for number in range(20_000))
    assert limit_attributes(f"<p>x</p><div {attributes}>y</div>") == "<p>x</p><div>y</div>"


@pytest.mark.parametrize(
    "html",
    [
        "",
        "<img src='data:image/png;base64," + "A" * 50_000 + "'>",
        "<style id='a' title='b'>" + ".a { b: c d e f } " * 5_000 + "</style>",
        "<script>for (i = 0; i <n.length; i++) {" + "a = b; " * 9_000 + "}</script>",
        "<p>" + "word " * 20_000 + "</p>",
    ],
)
def test_long_values_and_texts_are_kept(html: str) -> None:
    assert limit_attributes(html) == html


@given(st.text("<>=\"' ab/", max_size=80))
def test_short_pages_are_kept(html: str) -> None:
    assert limit_attributes(html) == html


def test_closed_containers_are_not_nested() -> None:
    assert check_nesting(b"<div><p></DIV>" * 9_000) is None
    assert check_nesting(b"<UL><li>" * 9_000) is not None


HOSTILE = (
    *("<span style='visibility:hidden'>a<span style='visibility:visible'>b", "<sup>2", "<code>\n", "<q>a"),
    *("<span class=lineno>1", "<span class=MathJax></span>", "<span class=syntaxhighlighter>", "<ruby>a<rt>"),
    *(
        "<table><tr><td style='white-space:pre'>",
        "<math><msup><mi>x</mi>",
        "<object>",
        "<details><p hidden>x",
    ),
)


SIBLINGS = (
    *("<p>x</p>", "<p style='left:-{}px;width:{}px'>x</p>", "<p class='aB{}'>x</p>", "<p>{} → ÷ ㉈</p>"),
    *("<img class=a alt='$x$' src='a?b{}'>", "<ul><li>x</ul><figcaption>a{}</figcaption>"),
)


def _seconds(extract: Callable[[str], object], html: str) -> float:
    """Return the processor time that a function of a page takes."""
    start = time.process_time()
    extract(html)
    return time.process_time() - start


def _is_linear(extract: Callable[[str], object], part: str) -> bool:
    """True if 8 times as many parts take less than about 20 times as long; quadratic time would be 64 times.

    Measured repeatedly, since other processes slow this one down.
    """
    few, many = ("".join(part.replace("{}", str(n)) for n in range(size)) for size in (3_000, 24_000))
    extract(part)
    return any(_seconds(extract, many) < 0.5 + 20 * _seconds(extract, few) for _ in range(3))


@pytest.mark.parametrize("part", HOSTILE)
def test_time_is_linear_in_the_number_of_special_elements(part: str) -> None:
    assert _is_linear(parse_blocks, part)


@pytest.mark.parametrize("part", SIBLINGS)
def test_time_is_linear_in_the_number_of_siblings(part: str) -> None:
    assert _is_linear(lambda html: main_content(html, ""), part)
