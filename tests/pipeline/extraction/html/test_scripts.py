import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pipeline.extraction.html.rendered import render_all

CASES = {
    # Exponents
    "100<sup>2</sup> cells": "100^2 cells",
    "10<sup>-7</sup> m": "10^-7 m",
    "10<sup>−7</sup>": "10^−7",
    "10 m<sup>2</sup> and s<sup>-1</sup>": "10 m^2 and s^-1",
    "2<sup>n-1</sup>, x<sup>n</sup>, 2<sup>n</sup>, e<sup>-x</sup>": "2^n-1, x^n, 2^n, e^-x",
    "(a+b)<sup>2</sup>": "(a+b)^2",
    "2<sup>3</sup>4": "2^3 4",
    "10<sup><i>4</i></sup>": "10^4",
    # Chemistry
    "H<sub>2</sub>O, C<sub>6</sub>H<sub>12</sub>O<sub>6</sub>": "H2O, C6H12O6",
    "Ca(OH)<sub>2</sub>, PM<sub>2.5</sub>, B<sub>12</sub>": "Ca(OH)2, PM2.5, B12",
    "SO<sub>4</sub><sup>2-</sup>, Ca<sup>2+</sup>, Na<sup>+</sup>": "SO4^2-, Ca^2+, Na+",
    "<sup>14</sup>C": "14C",
    # Indices
    "x<sub>1</sub>, log<sub>2</sub> n, 1010<sub>2</sub>": "x_1, log_2 n, 1010_2",
    "a<sub>n</sub>, k<sub>B</sub>, T<sub>max</sub>": "a_n, k_B, T_max",
    # Ordinals and abbreviations
    "3<sup>rd</sup>, 1<sup>er</sup>, 2<sup>º</sup>, 1<sup>e</sup>": "3rd, 1er, 2º, 1e",
    "M<sup>me</sup>, n<sup>o</sup> 5, Acme<sup>®</sup>": "Mme, no 5, Acme®",
    # Notes
    "town<sup>[1]</sup>": "town[1]",
    "2011<sup><a href='#fn1'>1</a></sup>": "2011[1]",
    "2011<a href='#fn1'><sup>1</sup></a>": "2011[1]",
    "2011<sub>15y ago</sub>": "2011 15y ago",
    "Shop<sup>new feature</sup>": "Shop new feature",
    # Fractions and prices
    "1<sup>1</sup>/<sub>2</sub> cups, <sup>1</sup>⁄<sub>4</sub>": "1 1/2 cups, 1⁄4",
    "$19<sup>99</sup>": "$19.99",
    # Not attached
    "x <sup>2</sup>": "x 2",
    "end.<sup>2</sup>": "end.2",
    "x<sup></sup>y": "xy",
}


@pytest.mark.parametrize("html", CASES)
def test_superscripts_and_subscripts(html: str) -> None:
    assert render_all(f"<p>{html}</p>") == CASES[html]
    assert render_all(f"<table><tr><td>{html}</td></tr></table>") == CASES[html]


@given(st.integers(0, 999), st.integers(-99, 99))
def test_an_exponent_of_a_number_is_told_apart(base: int, exponent: int) -> None:
    assert render_all(f"<p>{base}<sup>{exponent}</sup></p>") == f"{base}^{exponent}"
