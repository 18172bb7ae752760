import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.wikitext import prose, without_furniture, without_sections

ARTICLE = """{{Infobox city
| name = Ribe | map = {{location map|Denmark|lat={{#expr: 1+1}}}}
}}
[[File:Ribe.jpg|thumb|The [[cathedral]] of Ribe]]
'''Ribe''' ({{IPA|da|ˈʁiːpə}}; {{lang-de|Ripen}}) is a [[town]] in [[Denmark|southern Denmark]].<ref>{{cite
|url=http://example.org}}</ref> It lies {{convert|25|km}} from [[Esbjerg]].<ref name="a" /> <!-- note -->

== History ==
Ribe is the ''oldest'' town.<br/>It was founded {{circa|710}} .

{| class="wikitable"
! Year !! People
|-
| 1900 || {{formatnum:4000}}
|}

=== Trade ===
* Cattle
* [http://example.org Grain]

== Demography ==
{{Graph}}

== References ==
{{reflist}}
=== Sources ===
Some book.

== Tidal ==
Use <code>a[0]</code> and <nowiki>{{not a template}}</nowiki>.

== See also ==
* [[Other]]

[[Category:Towns]]
[[Kategori:Byer]]
[[de:Ribe]]
__NOTOC__
"""


def test_an_article_becomes_prose() -> None:
    lines = [line.strip() for line in prose(ARTICLE).splitlines() if line]
    assert lines == [
        "Ribe (Ripen) is a town in southern Denmark. It lies 25 km from Esbjerg.",
        "History",
        "Ribe is the oldest town.",
        "It was founded.",
        "Trade",
        "Cattle",
        "Grain",
        "Tidal",
        "Use a[0] and {{not a template}}.",
    ]


def test_brackets_without_a_partner_cut_nothing_out() -> None:
    assert without_furniture("a }} b ]] c {{ d [[e") == "a }} b ]] c  d e"
    assert without_furniture("{{a|[[b}} c]]") == " c]]"
    assert without_furniture("{| \n|| {{x \n|}\nafter") == "\nafter"


def test_sections_are_dropped_with_their_subsections_in_many_languages() -> None:
    for name in ("References", "EINZELNACHWEISE", "Liens externes", "Примечания", "参考文献"):
        text = f"Lead.\n== {name} ==\nx\n=== Sub ===\ny\n== Next ==\nz\n"
        assert without_sections(text) == "Lead.\n== Next ==\nz\n"


def test_headings_over_nothing_are_dropped() -> None:
    assert without_sections("== A ==\n=== B ===\n\n== C ==\n=== D ===\ntext") == "== C ==\n=== D ===\ntext"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "bomb",
    [
        "{{",
        "[[",
        "{|\n",
        "<ref>",
        "{{a|",
        "''",
        "== ",
        "[[File:",
        "<!--",
        "((",
        "|}",
        "<b>",
        "<pre>",
        "[http://x ",
    ],
)
def test_bombs_take_no_time(bomb: str) -> None:
    prose(bomb * 20_000)


@given(
    st.lists(st.sampled_from(["{{", "}}", "[[", "]]", "{|", "|}", "\n", "|", "a", " ", "=", "''", "<ref>"]))
)
def test_no_nesting_raises(tokens: list[str]) -> None:
    prose("".join(tokens))


@given(st.text(alphabet="abc .\n"))
def test_plain_prose_stays(text: str) -> None:
    assert prose(text).split() == [word for word in text.split() if word.strip(".")] or "." in text
