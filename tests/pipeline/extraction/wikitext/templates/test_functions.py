from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.wikitext import Options, to_prose
from pipeline.extraction.wikitext.templates.expressions import evaluate


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("{{PAGENAME}} {{SEITENNAME}} {{SUBPAGENAME}}", "A/B A/B B"),
        ("{{CURRENTYEAR}} {{#time:j F Y}} {{#time:Y|1920-03-04}}", "2024 1 May 2024 1920"),
        ("{{#if:x|a|b}} {{#if: |a|b}} {{#ifeq:1|1.0|a|b}} {{#ifexpr:1>2|a|b}}", "a b a b"),
        ("{{#switch:c|a=1|b|c|d=2|#default=3}} {{#switch:z|a=1|#default=3}} {{#switch:z|a=1|4}}", "2 3 4"),
        ("{{lc:ÄB}} {{uc:äb}} {{ucfirst:ab}} {{lcfirst:AB}} {{padleft:7|3|0}}", "äb ÄB Ab aB 007"),
        ("{{plural:1|day|days}} {{plural:2|day|days}}", "day days"),
        ("{{formatnum:12345.5}} {{formatnum:12,345|R}}", "12,345.5 12345"),
        ("a{{#tag:ref|note}} {{#tag:nowiki|x}} {{#invoke:Module|f}} b", "a x b"),
        ("{{subst:lc:A}} {{Template:nowrap|b c}} {{safesubst:#if:1|d}}", "a b c d"),
        ("{{!}} {{=}} {{{1|default}}} {{{x}}}end", "| = default end"),
    ],
)
def test_parser_functions_and_variables(wikitext: str, expected: str) -> None:
    assert to_prose(wikitext, Options(title="A/B", saved_on=date(2024, 5, 1))).strip() == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("1310 / 156.9 round 1", "8.3"),
        ("-2^2 + 7 mod 4", "7"),
        ("2.5 round 0", "3"),
        ("3 > 2 and not 0", "1"),
        ("1/0", ""),
        ("1 +", ""),
        ("2 apples", ""),
        ("10^400", ""),
    ],
)
def test_expressions(expression: str, expected: str) -> None:
    assert evaluate(expression) == expected


@given(st.integers(-999, 999), st.integers(-999, 999), st.integers(1, 99))
def test_expressions_agree_with_python(a: int, b: int, c: int) -> None:
    assert float(evaluate(f"{a} + {b} * {c} - ({a} - {c})")) == a + b * c - (a - c)


@given(st.text(alphabet="12.+-*/^()<>= modroundabse", max_size=40))
def test_arbitrary_expressions_do_not_raise(expression: str) -> None:
    evaluate(expression)
