"""Listings as highlighters and sites write them: the same code comes out of all forms."""

from collections.abc import Callable
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tests.pipeline.extraction.html.rendered import render_all

CODE = "def area(shapes):\n    total = 0\n\n    for shape in shapes:\n        total += 1\n    return total"
Form = Callable[[list[str]], str]


def each(template: str, between: str = "") -> Form:
    """Return a form in which every line ``{0}`` with its number ``{1}`` is written alike."""
    return lambda lines: between.join(template.format(line, number) for number, line in enumerate(lines, 1))


def nbsp(form: Form) -> Form:
    return lambda lines: form([line.replace(" ", "&nbsp;") or "&nbsp;" for line in lines])


def inside(before: str, form: Form, after: str = "") -> Form:
    return lambda lines: before + form(lines) + after


def columns(numbers: Form, code: Form, between: str = "</td><td class=code>") -> Form:
    return lambda lines: numbers(lines) + between + code(lines)


text = each("{0}", "\n")
FORMS: dict[str, Form] = {
    "pre": inside("<pre>", text, "</pre>"),
    "pre code": inside("<pre><code>", text, "\n</code></pre>"),
    "xmp": inside("<xmp>", text, "</xmp>"),
    "white-space: pre": inside("<div style='white-space: pre-wrap'>", text, "</div>"),
    "code without pre": inside("<div><code>", text, "</code></div>"),
    "div lines": inside("<pre><code>", each("<div class=line>{0}</div>"), "</code></pre>"),
    "div lines and line feeds": inside("<pre>", each("<div>{0}</div>", "\n"), "</pre>"),
    "p lines": inside("<pre>", each("<p>{0}</p>"), "</pre>"),
    "br": inside("<pre>", each("<span>{0}</span>", "<br>"), "</pre>"),
    "code, br": inside("<p><code>", nbsp(each("{0}", "<br>\n")), "</code></p>"),
    "code for each line": inside("<pre>", each("<code>{0}</code>"), "</pre>"),
    "span for each line": inside("<pre><code>", each("<span class=line>{0}</span>"), "</code></pre>"),
    "Shiki": inside("<pre class=shiki><code>", each("<span class=line>{0}</span>", "\n"), "</code></pre>"),
    "Docusaurus": inside("<pre><code>", each("<span class=token-line>{0}<br></span>"), "</code></pre>"),
    "rows": inside("<pre><table>", each("<tr><td>{0}</td></tr>"), "</table></pre>"),
    "numbered rows": inside("<pre><table>", each("<tr><td>{1}</td><td>{0}</td></tr>"), "</table></pre>"),
    "rows of pre": inside("<table>", each("<tr><td>{1}</td><td><pre>{0}</pre></td></tr>"), "</table>"),
    "GitHub": inside(
        "<table class=highlight>",
        each("<tr><td class=blob-num data-line-number={1}></td><td class='blob-code x'>{0}</td></tr>\n"),
        "</table>",
    ),
    "rows with white-space": inside(
        "<table>", each("<tr><td>{1}</td><td style='white-space:pre'>{0}</td></tr>"), "</table>"
    ),
    "GitLab": columns(
        each("<a class=diff-line-num data-line-number={1}>{1}</a>"),
        inside("<pre>", each("<span class=line>{0}</span>", "\n"), "</pre>"),
        "",
    ),
    "Hexo": inside(
        "<table><tr><td class=gutter>",
        columns(
            inside("<pre>", each("<span class=line>{1}</span><br>"), "</pre>"),
            inside("<pre>", each("<span class=line>{0}</span><br>"), "</pre>"),
        ),
        "</td></tr></table>",
    ),
    "two columns without classes": inside(
        "<table><tr><td>",
        columns(inside("<pre>", each("{1}", "\n"), "</pre>"), inside("<pre>", text, "</pre>")),
        "</td></tr></table>",
    ),
    "Rouge": inside(
        "<pre><table class=rouge-table><tr><td class='gutter gl'>",
        columns(inside("<pre class=lineno>", each("{1}\n"), "</pre>"), inside("<pre>", text, "\n</pre>")),
        "</td></tr></table></pre>",
    ),
    "SyntaxHighlighter": inside(
        "<div class=syntaxhighlighter><div class=toolbar><a>?</a></div><table><tr><td class=gutter>",
        columns(each("<div class=line>{1}</div>"), nbsp(each("<div class=line><code>{0}</code></div>"))),
        "</td></tr></table></div>",
    ),
    "highlight.js": inside(
        "<pre><table class=hljs-ln>",
        each("<tr><td class=hljs-ln-numbers data-line-number={1}></td><td class=hljs-ln-code>{0}</td></tr>"),
        "</table></pre>",
    ),
    "Prism": inside(
        "<pre class=line-numbers><button>Copy</button><code>",
        text,
        "<span aria-hidden=true class=line-numbers-rows><span></span></span></code></pre>",
    ),
    "Chroma": inside(
        "<pre><code>",
        each("<span class=line><span class=ln>{1}</span><span class=cl>{0}\n</span></span>"),
        "</code></pre>",
    ),
    "unselectable numbers": inside("<pre>", each("<i style='user-select:none'>{1} </i>{0}", "\n"), "</pre>"),
    "unknown numbers": inside("<pre>", each("<span class=z>{1}</span><span>{0}</span>", "\n"), "</pre>"),
    "Doxygen": inside(
        "<div class=fragment>",
        nbsp(each("<div class=line><span class=lineno>    {1}</span>&#160;{0}</div>")),
        "</div>",
    ),
    "Crayon": inside(
        "<div class=crayon-syntax><div class=crayon-toolbar>Title</div>"
        "<textarea>copy</textarea><table><tr><td>",
        columns(
            inside("<div class=crayon-nums>", each("<div>{1}</div>"), "</div>"),
            nbsp(each("<div class=crayon-line>{0}</div>")),
        ),
        "</td></tr></table></div>",
    ),
    "CodeMirror": inside(
        "<div class=CodeMirror-code>",
        each(
            "<div><div class=CodeMirror-gutter-wrapper><i>{1}</i></div>"
            "<pre class=CodeMirror-line>{0}</pre></div>"
        ),
        "</div>",
    ),
    "prettify": inside("<pre><ol>", nbsp(each("<li>{0}</li>")), "</ol></pre>"),
    "Trac": inside(
        "<table class=code><thead><tr><th class=lineno>Line</th><th></th></tr></thead><tbody>",
        nbsp(each("<tr><th><a href='#L{1}'>{1}</a></th><td>{0}</td></tr>")),
        "</tbody></table>",
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_lines_and_indentation_are_kept_and_line_numbers_left_out(name: str) -> None:
    assert render_all(f"<p>a</p>{FORMS[name](CODE.split(chr(10)))}<p>b</p>") == f"a\n\n{CODE}\n\nb"


@pytest.mark.parametrize("options", [{}, {"linenos": "table"}, {"linenos": "inline"}, {"noclasses": True}])
def test_output_of_pygments(options: dict[str, str]) -> None:
    html = highlight(CODE, PythonLexer(), HtmlFormatter(**options))
    assert render_all(f"<p>a</p>{html}<p>b</p>") == f"a\n\n{CODE}\n\nb"


LINE = st.tuples(st.integers(0, 8), st.text("abc(){}=&<", min_size=1, max_size=6)).map(
    lambda found: " " * found[0] + found[1]
)
GENERIC = ("pre", "div lines", "br", "rows", "GitHub", "SyntaxHighlighter", "Chroma", "Hexo")


@given(st.lists(LINE, min_size=1, max_size=5), st.sampled_from(GENERIC))
def test_any_code_survives_all_forms(lines: list[str], name: str) -> None:
    assert render_all(FORMS[name]([escape(line) for line in lines])) == "\n".join(lines)


def test_the_indentation_of_the_first_line_is_kept() -> None:
    assert render_all("<pre>    a\n  b\n</pre>") == "    a\n  b"


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<pre>1\n2\n3</pre>", "1\n2\n3"),
        ("<pre><i>1</i>\n<i>2</i></pre>", "1\n2"),
        ("<pre>[\n<i>1</i>,\n<i>2</i>]</pre>", "[\n1,\n2]"),
        ("<pre><i>1</i> a\n<i>3</i> b</pre>", "1 a\n3 b"),
        ("<pre><i class=mi>1</i> a\n<i class=mi>2</i> b</pre>", "1 a\n2 b"),
        ("<p>Take <span class=num>12</span> of <code>a\nb</code>.</p>", "Take 12 of a b."),
        ("<table><tr><td>1</td><td><code>a</code></td></tr></table>", "1 | a"),
    ],
)
def test_numbers_that_do_not_count_lines_are_kept(html: str, expected: str) -> None:
    assert render_all(html) == expected


def test_an_unclosed_listing_does_not_swallow_the_page() -> None:
    assert render_all("<pre>code<h2>Head</h2><p>Text\nhere</p>").split("\n\n") == [
        "code",
        "Head",
        "Text\nhere",
    ]
