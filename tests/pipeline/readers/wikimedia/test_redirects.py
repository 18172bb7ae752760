import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.resources import read_text
from pipeline.readers.wikimedia.redirects import is_redirect

KEYWORDS = read_text("pipeline.readers.wikimedia", "redirects.txt").split()


@pytest.mark.parametrize(
    "wikitext",
    [
        "#REDIRECT [[A]]",
        "#redirect:[[A]]",
        "\n #Redirect[[A]]",
        "#WEITERLEITUNG\n[[A]] {{R from move}}",
        "#REDIRECCIÓN [[A]]",
        "#перенаправление [[A]]",
        "#転送 [[A]]",
        "＃転送[[A]]",
        "#重定向[[A]]",
        "#OMDIRIGERING [[A]]",
        "#YÖNLENDİR [[A]]",
        "#تغییر مسیر [[A]]",
    ],
)
def test_redirects_of_all_languages(wikitext: str) -> None:
    assert is_redirect(wikitext)


@pytest.mark.parametrize(
    "wikitext",
    ["#REDIRECT is a word", "# item [[A]]", "Text\n#REDIRECT [[A]]", "#REDIRECTS [[A]]", "", "#" * 1000],
)
def test_other_pages_are_not_redirects(wikitext: str) -> None:
    assert not is_redirect(wikitext)


@given(st.sampled_from(KEYWORDS), st.sampled_from(["", " ", "\n", ": ", " :"]), st.booleans())
def test_keywords_in_any_case_and_spacing(keyword: str, joint: str, is_upper: bool) -> None:
    written = keyword.upper() if is_upper and keyword.upper().casefold() == keyword else keyword
    assert is_redirect(f"#{written}{joint}[[A]]")
