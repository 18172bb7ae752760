import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.extraction.html.rendered import render_all

HIDDEN = [
    "hidden",
    "hidden=hidden",
    "hidden=false",
    "popover",
    "aria-hidden=true",
    *(
        f'style="{style}"'
        for style in (
            "display:none",
            "color:red; DISPLAY : None !important;",
            "display:block;display:none",
            "/* a; */display:none",
            "visibility:hidden",
            "visibility:collapse",
            "position:absolute;left:-9999px",
            "position:fixed;top:-1000em",
            "text-indent:-9999px",
            "font-size:0",
            "position:absolute;clip:rect(0 0 0 0)",
            "clip-path:inset(50%)",
            "position:absolute;width:1px;height:1px;overflow:hidden",
            "position:absolute;opacity:0",
            "content-visibility:hidden",
        )
    ),
    "class=sr-only",
    "class='a visually-hidden'",
]
SHOWN = [
    "hidden=until-found",
    "hidden style=display:block",
    "aria-hidden=false",
    "style=display:none;display:block",
    "style=opacity:0",
    "style=height:0;overflow:hidden",
    "style=left:-9999px",
    "style=margin-left:-10px;position:absolute;left:-10px",
    "style=font-size:0.9em",
    "style=x-display:none",
    "hidden role=tabpanel",
    "hidden id=S:1f",
    "style=display:none class=accordion-body",
    "style=display:none class=toggle__content",
    "aria-hidden=true aria-labelledby=t1 id=panel1",
]


@pytest.mark.parametrize("tag", ["p", "div", "span", "custom-element"])
@pytest.mark.parametrize("attributes", HIDDEN)
def test_hidden_text_is_left_out(tag: str, attributes: str) -> None:
    assert render_all(f"a <{tag} {attributes}>secret</{tag}>b").split() == ["a", "b"]


@pytest.mark.parametrize("attributes", SHOWN)
def test_text_that_is_shown_or_can_be_opened_is_kept(attributes: str) -> None:
    assert render_all(f"a<div {attributes}>b</div>c") == "a\n\nb\n\nc"


def test_hidden_dialogs_are_left_out() -> None:
    assert (
        render_all("<div role=dialog hidden aria-labelledby=t>a</div><dialog>b</dialog><dialog open>c") == "c"
    )


def test_links_hidden_from_screen_readers_are_kept() -> None:
    assert render_all("<a href=x aria-hidden=true tabindex=-1>The headline</a>") == "The headline"


def test_text_for_screen_readers_stands_for_text_hidden_from_them() -> None:
    assert (
        render_all("<p><span aria-hidden=true>1.2K</span><span class=sr-only>1,200 likes</span>")
        == "1,200 likes"
    )
    assert render_all("<p><i aria-hidden=true></i><span class=sr-only>Search</span>x") == "x"


def test_visible_descendants_of_invisible_elements_are_kept() -> None:
    inner = "<b style=visibility:visible>b <i style=visibility:hidden>c</i></b>"
    html = f"<p style=visibility:hidden>a {inner} d</p>"
    assert render_all(f"{html}<p>The river rises.</p>") == "b\n\nThe river rises."


def test_a_page_that_a_script_will_show_is_kept() -> None:
    article = "<p>" + "The river rises in the hills. " * 9 + "</p>"
    for attributes in ("style=visibility:hidden", "style=display:none", "hidden"):
        assert "The river" in render_all(f"<div {attributes}>{article}</div><script>show()</script>")
        assert "The river" in render_all(f"<body {attributes}>{article}")
    assert "The river" not in render_all(f"<div hidden>{article}</div>{article.replace('river', 'sea')}")


ATTRIBUTES = st.sampled_from(
    ["", "hidden", "style=display:none", "class=x", "aria-hidden=true", "style=color:red"]
)
HIDING = ("hidden", "none", "true")


@given(st.lists(st.tuples(st.sampled_from(["div", "span", "b", "section"]), ATTRIBUTES), max_size=5))
def test_text_is_kept_if_and_only_if_no_element_around_it_is_hidden(around: list[tuple[str, str]]) -> None:
    opening = "".join(f"<{tag} {attributes}>" for tag, attributes in around)
    closing = "".join(f"</{tag}>" for tag, _ in reversed(around))
    found = render_all(f"{'before ' * 9}{opening}inside{closing} after")
    assert "after" in found
    assert ("inside" in found) != any(attributes.endswith(HIDING) for _, attributes in around)
