import pytest

from tests.pipeline.extraction.html.rendered import render_all

LONG = "The bridge was built in the year of the great flood and rebuilt twice. " * 4


def test_paragraphs_items_rows_and_code_are_on_separate_lines() -> None:
    html = """<p>One
    line.</p><p>Two.<br>Three.</p><ul><li>first</li><li><p>second</p><p>still</p></li></ul>
    <table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table><pre>if x:
    go()</pre>"""
    assert render_all(html) == (
        "One line.\n\nTwo.\nThree.\n\n- first\n- second\nstill\na | b\nc\n\nif x:\n    go()"
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("<td><p>a</p><p>b</p></td><td>c</td>", "a b | c"),
        ("<td>a<br>b</td><td>c</td>", "a b | c"),
        ("<td>a</td><td><ul><li>b</li><li>c</li></ul></td>", "a | - b - c"),
        (f"<td><p>{LONG}</p><p>{LONG}</p></td><td>c</td>", f"{LONG.strip()}\n\n{LONG.strip()}\n\nc"),
        ("<td><pre>x\n y</pre></td><td>c</td>", "x\n y\n\nc"),
        ("<td><table><tr><td>a</td><td>b</td></tr></table></td><td>c</td>", "a | b\n\nc"),
    ],
)
def test_a_row_is_one_line_unless_it_arranges_long_texts(row: str, expected: str) -> None:
    assert render_all(f"<table><tr>{row}</tr></table>") == expected


def test_no_break_spaces_indent_lines_but_not_paragraphs() -> None:
    indented = "&nbsp;&nbsp; two"
    assert render_all(f"<p>one<br>{indented}<br><br>{indented}</p>") == "one\n   two\n\n   two"
    assert render_all(f"<p>{indented}</p><p>{indented}</p>") == "two\n\ntwo"
