"""Parsed pages: content of a crawl never becomes markup."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from pipeline.reports import Cluster, Content, Filter, Group, Sample, Step, render
from tests.pipeline.reports.contents import COUNTS, EMPTY, content

HOSTILE = (
    "</blockquote></style></title><script>alert(1)</script><img src=x onerror=alert(2)> \" ' & {{ 7 * 7 }}"
)
TEXTS = st.text(max_size=30) | st.sampled_from(["<!--", "-->", "<![CDATA[", "\0", "</svg>", "&lt;", "\x0c"])
SHOWN = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)
"""HTML has no NUL, and normalizes line ends."""
MARK = "mark"


def _shape(page: str) -> list[tuple[str, tuple[str | None, ...]]]:
    """Return every element of the parsed tree, with the names of its attributes."""
    found = LexborHTMLParser(page)
    return [(node.tag, tuple(node.attributes)) for node in found.css("*")]


def _page(text: str, **options: str) -> str:
    return render(content(text, **options))


@settings(max_examples=40)
@given(TEXTS, TEXTS)
def test_text_never_becomes_markup(before, after):
    assert _shape(_page(before + HOSTILE + after)) == _shape(_page(MARK))


@settings(max_examples=40)
@given(SHOWN | st.sampled_from(["&lt;", "<b>", "&amp;amp;", "{{ 1 }}"]))
def test_text_is_shown_unchanged(text):
    shown = LexborHTMLParser(_page(f"{MARK}{text}{MARK}")).css_first("blockquote").text()
    assert shown == f"{MARK}{text}{MARK}"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", " https://x", "HTTPS://x", ""])
def test_only_http_urls_become_links(url):
    links = LexborHTMLParser(_page(MARK, url=url)).css("a")
    assert {link.attributes["href"][0] for link in links} == {"#"}


def test_internal_links_have_targets():
    page = LexborHTMLParser(_page(MARK))
    names = [node.attributes["id"] for node in page.css("[id]")]
    assert len(names) == len(set(names))
    within = {link.attributes["href"][1:] for link in page.css("a[href^='#']")}
    assert within <= set(names)


def test_page_loads_nothing_from_other_hosts():
    page = _page(MARK)
    assert not re.search(r"@import|url\(", page)
    for tag, attributes in _shape(page):
        assert tag not in {"script", "iframe", "object", "embed", "base", "form", "img"}
        assert not {"src", "srcset", "data", "style", "action"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)


def test_offensive_text_is_shown_after_a_click():
    page = LexborHTMLParser(render(replace(content(MARK), repeated=())))
    texts = page.css("details .sample blockquote")
    assert texts
    assert len(page.css("details[open]")) == 0
    hidden = page.css(".sample > details > blockquote")
    assert len(hidden) == len(texts) // 2 + 1  # samples of a cluster are visible


def test_text_of_a_copy_is_shown_once():
    copies = [Sample(str(number) * 32, text=text) for number, text in enumerate(["one", "one", "two", "one"])]
    shown = LexborHTMLParser(render(replace(content(MARK), clusters=[Cluster(4, copies)])))
    samples = shown.css("#copies ~ .cards .sample")
    assert [node.css_first("blockquote").text() if node.css("blockquote") else "" for node in samples] == [
        "one",
        "",
        "two",
        "",
    ]


def test_long_lists_are_behind_a_click():
    groups = [Group(f"group {number:02}", 100 - number, 50) for number in range(15)]
    found = LexborHTMLParser(render(replace(content(MARK), languages=groups)))
    hidden = [node.text() for node in found.css("details .groups tbody th")]
    assert hidden == [group.label for group in groups[8:]]
    assert [node.text() for node in found.css(".groups tbody th") if node.text().startswith("group")] == [
        group.label for group in groups
    ]


def test_removed_text_is_reported_by_source():
    row = LexborHTMLParser(_page(MARK)).css_first(".edits tbody tr").text(separator=" ").split()
    assert row == [MARK, "200", "33.3", "%", "1,500", "90,000", "3.0", "%"]


def test_evaluation_sets_are_shown_with_their_most_frequent_items():
    page = LexborHTMLParser(_page(MARK))
    rows = [row.text(separator=" ").split() for row in page.css("#evaluation + p + table tbody tr")]
    assert rows == [[MARK, "1,000", "12", "2", "0.2", "%", "5"], ["idle", "10", "0", "0", "0", "%", "0"]]
    (shown,) = [each for each in page.css("details") if "most documents" in each.text()]
    words = " ".join(shown.text(separator=" ").split())
    assert f"item 34 in 4 documents, up to 21 n-grams: {MARK}, {'4' * 32} {MARK}" in words


def test_headings_descend_by_one():
    levels = [int(node.tag[1]) for node in LexborHTMLParser(_page(MARK)).css("h1, h2, h3, h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_charts_and_tables_are_accessible():
    page = LexborHTMLParser(_page(MARK))
    for chart in page.css("svg"):
        assert "aria-hidden" in chart.attributes or chart.attributes["aria-label"]
    for table in page.css("table"):
        assert table.css("thead th[scope=col]")
        assert all(row.css("th[scope=row]") for row in table.css("tbody tr"))


def test_page_shows_the_numbers():
    text = " ".join(LexborHTMLParser(_page(MARK)).body.text().split())
    for expected in (
        "Report on 1,000 records",
        "600 (60.0 %) were kept",
        "−300 33.3 %",
        "Kept if at most 0.16; 2 languages have their own thresholds",
        "300 dropped, 33.3 % of the 900 records that reached this condition. Alone, it would drop 380.",
        "120 of 1,000 have value 0 and are not shown",
        "30k words (42k)",
        "1 min 1 s",
        "1.500",
        "4.200",
    ):
        assert expected in text


def test_empty_run_is_rendered():
    assert "Report on 0 records" in render(EMPTY)


@pytest.mark.parametrize("dropped", [0, 3])
def test_texts_that_were_deduplicated_only_have_no_conditions(dropped):
    """Nor do headings, links and sentences speak of filters or extraction."""
    counts = {**COUNTS, "dropped": dropped}
    funnel = [Step("", 0, 1000, 50_000), Step("unreadable", 1, 999), Step("dedup", dropped, 996, 49_000)]
    filters = [Filter("dedup.exact", "another document has the same text", dropped)] if dropped else []
    found = Content(counts, funnel=funnel, filters=filters, sources=[Group("a", 9, 9)])
    page = LexborHTMLParser(render(found))
    text = " ".join(page.body.text().split())
    assert "Of the texts in the input, 600 (60.0 %) were kept as training documents by deduplication." in text
    for word in ("ilter", "preset", "xtract", "ondition", "threshold", "raw"):
        assert word not in text
    assert ("Samples" in text) == ("Reasons" in text) == bool(dropped)
    targets = {node.attributes["href"] for node in page.css("nav a")}
    assert targets == {f"#{heading.id}" for heading in page.css("h2")}


def test_conditions_that_drop_nothing_are_rendered():
    quiet = [replace(each, dropped=0) for each in content(MARK).filters]
    shown = render(replace(content(MARK), counts={**COUNTS, "dropped": 0}, filters=quiet))
    assert LexborHTMLParser(shown).css_first("#reasons") is None
    assert LexborHTMLParser(shown).css_first("#filters") is not None


def test_survivor_of_an_earlier_run_is_named_as_such():
    clusters = [replace(each, indexed=True) for each in content(MARK).clusters]
    page = LexborHTMLParser(render(replace(content(MARK), clusters=clusters)))
    roles = [node.text() for node in page.css(".role")]
    assert roles == ["Kept by an earlier run; the signature index has its id only", "Duplicate", "Duplicate"]
