from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.html.blocks import BREAK
from pipeline.extraction.html.segmentation import parse_blocks

TAGS = ("div", "p", "span", "a", "b", "li", "ul", "table", "tr", "td", "h2", "br", "noscript", "section")
WORDS = ("one", "two", " ", "\n", "drei", "四")
SEGMENTS = st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + list(WORDS))


def test_blocks_are_runs_between_block_level_tags() -> None:
    blocks = parse_blocks("<title>T</title><div>a <b>b</b><p>c<br>d<br><br>e</p>f</div><script>x</script>g")
    assert blocks.title == "T"
    assert blocks.texts == ["a b", f"c{BREAK}d", "e", "f", "g"]
    assert [blocks.tags[owner] for owner in blocks.owners] == ["div", "p", "p", "div", "body"]


def test_link_lengths_and_element_names() -> None:
    blocks = parse_blocks(
        '<div class="nav x" id=i role=menu><a href=y><b>go</b></a>!<p itemprop=name>q</p></div>'
    )
    assert blocks.linked == [2, 0]
    assert [name.strip() for name in blocks.names] == ["", "nav x i role=menu", "prop=name"]


def test_noscript_is_text() -> None:
    assert parse_blocks("<noscript><p>The question</p></noscript>").texts == ["The question"]


@given(st.lists(SEGMENTS, max_size=60).map("".join))
def test_words_are_kept_and_blocks_of_an_element_are_contiguous(html: str) -> None:
    blocks = parse_blocks(html)
    found = "".join("".join(text.split()) for text in blocks.texts).replace(BREAK, "")
    expected = "".join(word for word in html.replace(">", "> ").replace("<", " <").split() if word[0] != "<")
    # As in browsers, text inside a table but outside its cells is moved in front of the table.
    assert sorted(found) == sorted(expected)
    for element, (first, count) in enumerate(zip(blocks.firsts, blocks.counts, strict=True)):
        inside = [block for block in range(len(blocks.texts)) if element in blocks.ancestors(block)]
        assert inside == list(range(first, first + count)) if inside else not count
