"""Charts: geometry and number formats."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from pipeline.reports import Distribution, Limit, Step, charts

LIMIT = Limit("a", "at most", 0.1)
EDGES = [0, LIMIT.boundary("linear"), 0.2]
DISTRIBUTION = Distribution("gopher_top_4_gram", EDGES, [400, 100], 500, 0, 0.9, [LIMIT])


def test_bar_height_grows_with_the_square_root_of_the_count():
    first, second = LexborHTMLParser(str(charts.histogram(DISTRIBUTION))).css("rect")
    assert float(first.attributes["height"]) == pytest.approx(2 * float(second.attributes["height"]))
    assert (first.attributes["class"], second.attributes["class"]) == ("passes", "fails")
    assert second.css_first("title").text() == "0.1 to 0.2: 100 records"


def test_threshold_is_drawn_and_labelled_between_bins():
    chart = LexborHTMLParser(str(charts.histogram(DISTRIBUTION)))
    second = chart.css("rect")[1]
    line = float(chart.css_first(".threshold").attributes["x1"])
    assert line == pytest.approx(float(second.attributes["x"]) - 0.5)
    assert chart.css_first(".strong").text() == "at most 0.1"
    assert "kept if at most 0.1" in chart.css_first("svg").attributes["aria-label"]


def test_funnel_narrows_with_records_and_words():
    steps = [Step("", 0, 100, 1000), Step("a", 50, 50, 1000), Step("b", 25, 25, 250)]
    records, words = LexborHTMLParser(str(charts.funnel(steps[1], steps[2], steps[0]))).css("polygon")
    assert records.attributes["points"] == "25.00,0 50,0 50,10 37.50,10"
    assert words.attributes["points"] == "50,0 100.00,0 62.50,10 50,10"


@pytest.mark.parametrize(
    ("part", "of", "expected"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (1, 8, "12.5 %"),
        (1, 9999, "< 0.1 %"),
        (9998, 9999, "> 99.9 %"),
    ],
)
def test_only_none_is_0_percent_and_only_all_is_100_percent(part, of, expected):
    assert charts.share(part, of) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(0, "0"), (0.125, "0.125"), (999, "999"), (1500, "1.5k"), (2_630_000, "2.63M")]
)
def test_chart_labels_use_unit_prefixes(value, expected):
    assert charts.short(value) == expected
