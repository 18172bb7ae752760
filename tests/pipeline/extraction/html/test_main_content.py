import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.extraction.html.features import features, split_names
from pipeline.extraction.html.main_content import main_content, model, name_scorer, select_blocks
from pipeline.extraction.html.segmentation import parse_blocks

PROSE = "The river rises in the hills, crosses the plain and reaches the sea after some ninety miles. "


def test_a_page_without_text_is_empty() -> None:
    assert main_content("", "") == ("", "")
    assert main_content("<title>T</title><body><img src=x></body>", "") == ("", "T")


@pytest.mark.parametrize("url", ["", "https://example.org/2026/11/the-river", "no address"])
def test_prose_is_kept_and_boilerplate_removed(url: str) -> None:
    links = "".join(f"<li><a href=/{name}>{name}</a></li>" for name in ("Home", "Shop", "Contact", "Login"))
    html = f"""<body><div class="navbar menu"><ul>{links}</ul></div><div class="entry-content"><h2>Course</h2>
    {f"<p>{PROSE * 3}</p>" * 4}</div>
    <footer class="site-footer">© 2026 All rights reserved <a>Privacy</a></footer>"""
    found = main_content(html, url)
    assert isinstance(found, tuple)
    assert found[0].count(PROSE.strip()) >= 4
    assert "Login" not in found[0]
    assert "rights reserved" not in found[0]


@given(
    st.lists(
        st.tuples(st.floats(0, 1, width=32), st.floats(0.25, 500, width=32)),
        min_size=1,
        max_size=9,
        unique=True,
    )
)
def test_selected_blocks_maximize_expected_f1(
    pairs: list[tuple[float, float]],
) -> None:
    shares, words = np.array(pairs, np.float32).T

    def expected_f1(selected: list[int]) -> float:
        correct = float((shares * words)[selected].sum())
        return 2 * correct / float(words[selected].sum() + (shares * words).sum() + 1e-9)

    selected = select_blocks(shares, words, 3.0).tolist()
    assume(abs((shares * words).sum() - 3) > 1e-3)
    if (shares * words).sum() < 3:
        assert selected == []  # the page has no main content
        return
    assert selected == sorted(set(selected))
    order = np.argsort(-shares, kind="stable").tolist()
    best = max(expected_f1(order[:count]) for count in range(1, len(pairs) + 1))
    assert expected_f1(selected) >= best - 1e-5


def test_features_are_finite() -> None:
    neutral = name_scorer({})
    short = ("x", "𝔘𝔫", "。", "<h1>a<h1>b", "<p class=a\0b>x")
    for html in (*short, "<p>" * 50 + "x", "<li>一二三" * 3, "<td>1</td>" * 60):
        matrix, words, templates = features(parse_blocks(html), "", neutral)
        assert matrix.shape[0] == len(words) == len(templates) > 0
        assert np.isfinite(matrix).all()
        shares, _ = model().shares(parse_blocks(html), "")
        assert ((shares >= 0) & (shares <= 1)).all()


def test_element_names_are_scored_by_their_words() -> None:
    score = name_scorer({"menu": -0.5, "content": 0.25, "<p": 0.125})
    found = score([("siteMenu x-1 content", "p"), ("unknown", "div"), ("", "p"), ("content", "div")])
    expected = [(-0.5, 0.25, -0.125 / 3), (0, 0, 0), (0, 0.125, 0.125), (0, 0.25, 0.25)]
    np.testing.assert_allclose(found, expected)


@given(st.lists(st.text("aBc-_ 1é\n", max_size=9), min_size=1, max_size=4))
def test_names_are_split_into_runs_of_letters_and_before_capitals(names: list[str]) -> None:
    expected = []
    for name in names:
        expected += ["\0", *map(str.lower, re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name))]
    assert split_names(names) == [word.encode() for word in expected]
