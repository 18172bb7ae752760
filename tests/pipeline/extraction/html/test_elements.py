"""The text of every HTML element, in the order of the standard's index."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from pipeline.extraction.html.elements import BY_NUMBER, tag_and_role
from tests.pipeline.extraction.html.rendered import render_all

INLINE = (
    "a abbr acronym b bdi bdo big blink cite code data del dfn em font i ins kbd label mark nobr output rb s "
    "samp slot small span strike strong time tt u var custom-element"
).split()
BLOCK = (
    "address article aside blockquote center details dialog(open) dir div dl fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hgroup legend main menu nav noscript p pre search section "
    "summary ul"
).split()
WITHOUT_TEXT = (
    "audio canvas datalist iframe meter noembed noframes progress script select style template video "
    "dialog title"
).split()
VOID = "area base col embed img input link meta param source track wbr".split()
SPECIAL = {
    "br": ("a<br>b", "a\nb"),
    "br twice": ("a<br><br>b", "a\n\nb"),
    "hr": ("a<hr>b", "a\n\nb"),
    "q": ("say <q>hi</q>!", "say “hi”!"),
    "ruby": ("<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp>字<rt>ji</rt></ruby>", "漢(kan)字(ji)"),
    "ruby without text": ("<ruby>漢<rt></rt></ruby>", "漢"),
    "del, ins": ("<del>old</del><ins>new</ins>", "old new"),
    "wbr, shy": ("super<wbr>cali&shy;fragile", "supercalifragile"),
    "ul": ("<ul><li>a<li>b</ul>", "- a\n- b"),
    "dl": ("<dl><dt>a<dd>b<dd><p>c<p>d</dl>", "a\nb\nc\nd"),
    "table": ("<table><caption>t<tr><th>a<th>b<tbody><tr><td>c<td>d</table>", "t\n\na | b\nc | d"),
    "figure": ("<figure><img alt=x><figcaption>a</figcaption></figure>", "a"),
    "details": ("<details><summary>a</summary>b</details>", "a\n\nb"),
    "button": ("<button>a</button>", "a"),
    "textarea": ("<textarea>a\n b</textarea>", "a\n b"),
    "option": ("<p>a <select><option>b<option selected>c</select> d", "a d"),
    "map": ("<map><p>a</p><area></map>", "a"),
    "object": ("<object data=x><p>a</p></object><object><p>b</p></object>", "b"),
    "svg": (
        "<svg><title>a</title><desc>b</desc><defs><text>c</text></defs><text>d<tspan>e</tspan></text></svg>",
        "de",
    ),
    "foreignObject": ("<svg><foreignObject><p>a</p></foreignObject></svg>", "a"),
    "shadow root": ("<x-a><template shadowrootmode=open><p>a</p></template></x-a>", "a"),
    "xmp": ("<xmp> <b>a</b>\n  b</xmp>", " <b>a</b>\n  b"),
    "listing": ("<listing> a\n  b</listing>", " a\n  b"),
    "plaintext": ("<plaintext>a</b>", "a</b>"),
    "margin note": ("a<span class=sidenote>b</span> c", "a (b) c"),
    "display: block": (
        "a<span style=display:block>b</span><span style=display:block>c</span>d",
        "a\nb\nc\nd",
    ),
    "white-space: pre-line": ("<p style='white-space: pre-line'>a  b\nc</p>", "a b\nc"),
    "comment": ("a<!-- x -->b", "ab"),
}


@pytest.mark.parametrize("tag", INLINE)
def test_inline_elements_continue_the_line(tag: str) -> None:
    assert render_all(f"a<{tag}>b</{tag}>c") == "abc" if tag != "label" else "a\n\nb\n\nc"


@pytest.mark.parametrize("element", BLOCK)
def test_block_elements_start_a_block(element: str) -> None:
    tag, attribute = element.rstrip(")").partition("(")[::2]
    assert render_all(f"a<{tag} {attribute}>b</{tag}>c") == "a\n\nb\n\nc"


@pytest.mark.parametrize("tag", WITHOUT_TEXT)
def test_elements_without_visible_text_are_left_out(tag: str) -> None:
    assert render_all(f"a<{tag}>b</{tag}>c") == "ac"


@pytest.mark.parametrize("tag", VOID)
def test_void_elements_have_no_text(tag: str) -> None:
    assert render_all(f"a<{tag} alt=x value=y>c") == "ac"


@pytest.mark.parametrize("name", SPECIAL)
def test_other_elements(name: str) -> None:
    html, expected = SPECIAL[name]
    assert render_all(html) == expected


def test_names_by_number_are_those_of_the_parser() -> None:
    names = (*INLINE, *BLOCK, *WITHOUT_TEXT, *VOID, "table", "li", "math", "rect", "d-math", "m:math", "x-y")
    html = "".join(f"<{name}></{name}>" for name in names)
    tree = LexborHTMLParser(html + "<svg><clipPath></svg><clippath>")
    assert tree.root is not None
    nodes = list(tree.root.traverse())
    assert {"clipPath", "clippath", "x-y"} <= {node.tag for node in nodes}
    for node in nodes:
        assert BY_NUMBER.get(node.tag_id, tag_and_role(node)) == tag_and_role(node)
