"""Charts: geometry."""

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
