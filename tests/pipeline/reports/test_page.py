from html.parser import HTMLParser

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reports import Content, Histogram, Sample, Share, render

HOSTILE = "</blockquote><script>alert(1)</script><img src=x onerror=alert(2)> \" ' &"


class _Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


def _content(text, url="https://example.org/a"):
    return Content(
        counts={"records_in": 10, "kept": 6, "dropped": 3, "quarantined": 1, "duplicate_clusters": 1},
        by_source={text: {"records_in": 10, "kept": 6}},
        dropped=[Share(text, 3)],
        languages=[Share(text, 6)],
        cluster_sizes=[Share("2 to 3 documents", 1)],
        histograms=[Histogram("words", [0.0, 1.0, 2.0], [4, 6], {text: 1.5}), Histogram("flat", [1, 1], [0])],
        dropped_samples={
            "gopher.few_words": [Sample("1", url, text, 3.0, 50.0)],
            text: [Sample("2", text, "")],
        },
        kept_samples=[Sample("3", url, text)],
        tokens={text: 5},
        loss=[(1, 9.0), (2, 8.0)],
        validation={text: (1.5, 4.2)},
        configuration=text,
    )


@settings(max_examples=25)
@given(st.text(max_size=30))
def test_no_text_becomes_markup(text):
    plain = _Tags(render(_content("x")))
    found = _Tags(render(_content(text + HOSTILE)))
    assert found.tags == plain.tags
    assert not any(name.startswith("on") for name, _ in found.attributes)


def test_links_lead_only_to_the_web():
    page = _Tags(render(_content("x", url="javascript:alert(1)")))
    assert all(not str(value).startswith("javascript:") for name, value in page.attributes if name == "href")


def test_the_page_needs_no_other_host():
    page = _Tags(render(_content("x")))
    assert not {"script", "iframe", "object"} & set(page.tags)
    fetched = [value for name, value in page.attributes if name in ("src", "srcset", "data")]
    assert fetched == []


def test_the_numbers_are_on_it():
    text = " ".join(_Tags(render(_content("x"))).text)
    assert "10 records in = 6 kept + 3 dropped + 1 that could not be read" in text
    assert "3 against 50" in text
    assert "1.500" in text
    assert "4.200" in text


def test_a_run_that_kept_nothing_and_was_not_trained_is_drawn_too():
    counts = {"records_in": 0, "kept": 0, "dropped": 0, "quarantined": 0, "duplicate_clusters": 0}
    empty = Content(counts, {}, [], [], [], [], {}, [])
    assert "0 records in" in render(empty)
