"""Lists are kept or left out as a whole; captions and definition lists go with the text around them."""

import numpy as np
import pytest

from pipeline.extraction.html import coherence
from pipeline.extraction.html.blocks import Blocks
from pipeline.extraction.html.main_content import main_content
from pipeline.extraction.html.segmentation import parse_blocks
from pipeline.ledger import Drop

FIRST = (
    "The first paragraph of this article explains the subject with enough words to be kept, as articles on "
    "the web usually do when they are written by people."
)
LAST = (
    "The last paragraph concludes the article with a few more words, so that everything in the middle stands "
    "between two pieces of running text of the usual length."
)


def adjusted(blocks: Blocks, *margins: float) -> list[float]:
    found = np.array(margins, np.float32)
    coherence.adjust(found, blocks, np.ones(len(margins), np.float32))
    return [round(margin, 2) for margin in found.tolist()]


@pytest.mark.parametrize("tag", ["ul", "ol", "blockquote"])
def test_blocks_of_one_element_approach_their_mean(tag: str) -> None:
    blocks = parse_blocks(f"<p>before</p><{tag}><p>a</p><p>b</p></{tag}><p>after</p>".encode())
    assert blocks.texts == ["before", "a", "b", "after"]
    assert adjusted(blocks, 3, -1, 2, -4) == [3, 0.35, 0.65, -4]


def test_nested_lists_are_one_list() -> None:
    blocks = parse_blocks(b"<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul><p>d</p>")
    assert blocks.texts == ["a", "b", "c", "d"]
    assert adjusted(blocks, 0, 10, 2, 7) == [3.6, 4.6, 3.8, 7]


def test_caption_between_text_belongs_to_it() -> None:
    blocks = parse_blocks(b"<p>a</p><figure><figcaption>b</figcaption></figure><p>c</p>")
    assert adjusted(blocks, 3, -4, 2) == [3, 2, 2]
    assert adjusted(blocks, 3, -4, -2) == [3, -2, -2]
    assert adjusted(blocks, 1, 4, 2) == [1, 4, 2]


def test_adjacent_captions_are_adjusted_together() -> None:
    figure = b"<figure><figcaption>b</figcaption></figure>"
    blocks = parse_blocks(b"<p>a</p>" + figure + figure + b"<p>c</p>")
    assert adjusted(blocks, 3, -4, -5, 2) == [3, 2, 2, 2]


@pytest.mark.parametrize(
    "page", [b"<figcaption>a</figcaption><p>b</p>", b"<p>a</p><figcaption>b</figcaption>"]
)
def test_caption_at_an_end_of_the_page_is_unchanged(page: bytes) -> None:
    assert adjusted(parse_blocks(page), 1, -1) == [1, -1]


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("<dl><dt>Term</dt><dd>Its definition</dd><dt>Two</dt><dd>Both</dd></dl>",
         ["Term", "Its definition", "Two", "Both"]),
        ("<figure><img src=a><figcaption>Figure 1: A bridge</figcaption></figure>", ["Figure 1: A bridge"]),
        ("<ul><li>one<ul><li>inner a</li><li>inner b</li></ul></li><li>two</li></ul>",
         ["one", "inner a", "inner b", "two"]),
        ("<details><summary>Summary</summary><p>All details are here.</p></details>",
         ["Summary", "All details are here."]),
    ],
)  # fmt: skip
def test_short_elements_within_an_article_are_kept(markup: str, expected: list[str]) -> None:
    page = f"<title>T</title><article><h1>A title</h1><p>{FIRST}</p>{markup}<p>{LAST}</p></article>"
    extracted = main_content(page, "http://a.example/x")
    assert not isinstance(extracted, Drop)
    text, _ = extracted
    lines = [line.removeprefix("- ") for line in text.split("\n") if line.strip()]
    assert lines == [FIRST, *expected, LAST]
