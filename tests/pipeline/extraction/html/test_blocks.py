from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.html.blocks import BREAK, read

TAGS = ("div", "p", "span", "a", "b", "li", "ul", "table", "tr", "td", "h2", "br", "noscript", "section")
WORDS = ("one", "two", " ", "\n", "drei", "四")
PIECES = st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + list(WORDS))


def test_blocks_are_runs_between_block_level_tags() -> None:
    blocks = read("<title>T</title><div>a <b>b</b><p>c<br>d<br><br>e</p>f</div><script>x</script>g")
    assert blocks.title == "T"
    assert blocks.texts == ["a b", f"c{BREAK}d", "e", "f", "g"]
    assert [blocks.tags[owner] for owner in blocks.owners] == ["div", "p", "p", "div", "body"]


def test_links_and_names() -> None:
    blocks = read('<div class="nav x" id=i role=menu><a href=y><b>go</b></a>!<p itemprop=name>q</p></div>')
    assert blocks.linked == [2, 0]
    assert [name.strip() for name in blocks.names] == ["", "nav x i role=menu", "prop=name"]


def test_forums_within_noscript_are_text() -> None:
    assert read("<noscript><p>The question</p></noscript>").texts == ["The question"]


@given(st.lists(PIECES, max_size=60).map("".join))
def test_no_word_is_lost_and_elements_hold_neighbours(html: str) -> None:
    blocks = read(html)
    found = "".join("".join(text.split()) for text in blocks.texts).replace(BREAK, "")
    expected = "".join(word for word in html.replace(">", "> ").replace("<", " <").split() if word[0] != "<")
    # Text that stands in a table but in no cell is moved in front of it, as in browsers.
    assert sorted(found) == sorted(expected)
    for element, (first, count) in enumerate(zip(blocks.firsts, blocks.counts, strict=True)):
        inside = [block for block in range(len(blocks.texts)) if element in blocks.ancestors(block)]
        assert inside == list(range(first, first + count)) if inside else not count
