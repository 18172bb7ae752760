import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.wikitext.brackets import resolve_brackets
from pipeline.extraction.wikitext.gaps import GAP
from pipeline.extraction.wikitext.options import Options
from pipeline.extraction.wikitext.parser import strip_sections, to_prose

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


EXPECTED = [
    "Ribe (German: Ripen) is a town in southern Denmark. It lies 25 kilometres (16 mi) from Esbjerg.",
    "History",
    "Ribe is the oldest town.",
    "It was founded c. 710.",
    "Year | People",
    "1900 | 4,000",
    "Trade",
    "- Cattle",
    "- Grain",
    "Tidal",
    "Use a[0] and {{not a template}}.",
]


DEFAULT = Options()


def lines(wikitext: str, options: Options = DEFAULT) -> list[str]:
    return [line.rstrip() for line in to_prose(wikitext, options).splitlines() if line.strip()]


def test_article_becomes_prose() -> None:
    assert lines(ARTICLE) == EXPECTED


def test_tables_and_lists_are_optional() -> None:
    bare = lines(ARTICLE, Options(tables=False, lists=False))
    assert bare == [line for line in EXPECTED if "|" not in line and not line.startswith("- ")]


def resolved(wikitext: str) -> str:
    return resolve_brackets(wikitext, Options())[0].replace(GAP, "")


def test_unbalanced_brackets_remove_no_text() -> None:
    assert resolved("a }} b ]] c {{ d [[e") == "a }} b ]] c  d e"
    assert resolved("{{main|[[b}} c]]") == " c]]"
    assert resolved("{| \n|| {{x \n|}\nafter").split() == ["x", "after"]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("{{convert|25|km}}", "25 kilometres (16 mi)"),
        ("{{convert|1,300|mi|km|abbr=on}}", "1,300 mi (2,100 km)"),
        ("{{convert|100|to|200|ft}}", "100 to 200 feet (30 to 61 m)"),
        ("{{convert|5|acre}}", "5 acres (2.0 ha)"),
        ("{{convert|22|e6acre}}", "22 million acres (8.9 million ha)"),
        ("{{convert|72|F}}", "72°F (22°C)"),
        ("{{convert|-40|C|F}}", "-40°C (−40°F)"),
        ("a {{convert|6|ft|adj=on}} man", "a 6-foot (1.8 m) man"),
        ("{{convert|many|furlong}}", "many"),
        ("{{birth date|1950|3|4}}", "March 4, 1950"),
        ("{{birth date and age|df=yes|1950|3|4}}", "4 March 1950"),
        ("{{death date and age|1990|1||1910|2|3}}", "January 1990"),
        ("{{nihongo|Tokyo|東京|Tōkyō}}", "Tokyo (東京, Tōkyō)"),
        ("{{nihongo|Tokyo|東京}}", "Tokyo (東京)"),
        ("{{lang|de|Ripen}} {{lang-da|Ribe}}", "Ripen Danish: Ribe"),
        ("{{formatnum:1234567.8}} {{frac|3|1|2}}", "1,234,567.8 3 1⁄2"),
        ("{{quote|To be.|Hamlet}}", "“To be.” — Hamlet"),
        ("{{nowrap|a {{abbr|b|bee}}}} {{hlist|x|y}}", "a b x, y"),
        ("{{quote|see [[a|x=y]]}}", "“see x=y”"),
        ("{{nowrap|1=a=b}}", "a=b"),
        ("x<ref>{{cite|a}}</ref>{{fact}} {{main|text}}{{infobox\n|a=b}}y", "x y"),
        ("{{#if: yes | a | b}}{{#if: | a | b}}", "ab"),
        ("CO<sub>2</sub> and m<sup>-3</sup>", "CO₂ and m⁻³"),
        ("a<ref>{{cite|t</ref name='x'> b}}</ref> c<ref>open note\nd", "a c\nd"),
        ("if <math>x^{2} =  1</math> then", "if $x^{2} = 1$ then"),
        ("l''''name'' and '''''both'''''", "l'name and both"),
        ("[[Berlin (city)|]], [[a]]s, [[:Category:B]]", "Berlin, as, Category:B"),
        ("A ({{IPA|x}} {{lang|fr|y}}; )", "A (y)"),
        ("&lt;b&gt; &amp;amp;", "<b> &amp;"),
        ("-{zh-hans:计算机;zh-hant:電腦}-", "计算机"),
    ],
)
def test_templates_and_markup(call: str, expected: str) -> None:
    assert to_prose(call).strip() == expected


@pytest.mark.parametrize(
    ("language", "call", "expected"),
    [
        ("it", "{{M|25|ul=km}} {{formatnum:1234}}", "25 km 1.234"),
        (
            "it",
            "{{Bio|Nome=Ada|Cognome=Neri|Sesso=F|LuogoNascita=Roma|GiornoMeseNascita=1º maggio|AnnoNascita="
            "1900|LuogoMorte=|GiornoMeseMorte=|AnnoMorte=1980|Attività=poetessa|Nazionalità=italiana}}",
            "Ada Neri (Roma, 1º maggio 1900 – 1980) è stata una poetessa italiana.",
        ),
        ("fr", "{{date|1|janvier|1950}}, {{unité|25|km}}, {{s|XIX}}", "1 janvier 1950, 25 km, XIXe siècle"),
        ("de", '{{"|Ja}} {{lang|en|yes}}', "„Ja“ yes"),
        ("es", "{{fecha|1950|3|4}} {{unidad|5|kg}}", "4 de marzo de 1950 5 kg"),
    ],
)
def test_templates_of_other_languages(language: str, call: str, expected: str) -> None:
    assert to_prose(call, Options(language=language)).strip() == expected


def test_templates_of_wiktionaries() -> None:
    options = Options(project="wiktionary")
    found = to_prose("From {{inh|en|enm|word}}, {{cog|de|Wort}}. {{lb|en|rare}} {{m|la|verbum}}", options)
    assert found == "From Middle English word, German Wort. (rare) verbum"


def test_links_to_local_file_and_category_namespaces_are_removed() -> None:
    options = Options(hidden_namespaces=frozenset({"vaizdys", "kategoreja x"}))
    assert to_prose("a[[Vaizdys:x.jpg|thumb|b]][[Kategoreja_X:c]]d", options) == "ad"
    assert to_prose("a[[Portal:x|b]]", options) == "ab"


def test_table_rows_and_cells() -> None:
    table = """{| class="wikitable" style="x"
|+ Towns
|- bgcolor=red
! scope="col" | Name !! People
|-
| rowspan="2" | [[Ribe|The '''town''']] || 8
|-
|
Lines
* of text
|
{| class="inner"
| a || b
|}
|-
| x
in lines || y
|-
| only
|}"""
    assert lines(table) == [
        "Towns",
        "Name | People",
        "The town | 8",
        "Lines of text | a | b",
        "x in lines | y",
        "only",
    ]
    assert lines(table.replace("wikitable", "navbox")) == []


def test_nested_and_numbered_lists() -> None:
    assert lines("# a\n# b\n## c\n#* d\n# e\n: f\n* g\n") == [
        "1. a", "2. b", "  1. c", "  - d", "3. e", "f", "- g"
    ]  # fmt: skip


def test_a_list_of_another_kind_is_numbered_from_one() -> None:
    assert lines("* a\n* b\n# c\n# d\n#* e\n#* f\n## g\n# h\n") == [
        "- a", "- b", "1. c", "2. d", "  - e", "  - f", "  1. g", "3. h"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("10<sup>&minus;7</sup> m", "10⁻⁷ m"),
        ("10<sup> 6 </sup>", "10⁶"),
        ("2<sup>1/2</sup> or 2<sup>0.5</sup>", "2^(1/2) or 2^0.5"),
        ("x{{sup|2}}, CO{{sub|2}}", "x², CO₂"),
        ("3.1{{e|-12}} or {{10^|-12}}", "3.1 × 10^-12 or 10^-12"),
        ("2<sup>nd</sup> a<sub>i</sub>", "2nd ai"),
    ],
)
def test_powers_and_indices(wikitext: str, text: str) -> None:
    assert to_prose(wikitext) == text


def test_sections_are_dropped_with_their_subsections_in_many_languages() -> None:
    for name in ("References", "EINZELNACHWEISE", "Liens externes", "Примечания", "参考文献"):
        text = f"Lead.\n== {name} ==\nx\n=== Sub ===\ny\n== Next ==\nz\n"
        assert strip_sections(text) == "Lead.\n== Next ==\nz\n"


def test_headings_without_text_are_dropped() -> None:
    assert strip_sections("== A ==\n=== B ===\n\n== C ==\n=== D ===\ntext") == "== C ==\n=== D ===\ntext"


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
        "{{quote|",
        "{{#if:",
        "{|\n| {{quote|[[a|",
        "\n|}",
        "; ",
        "-{",
        "= ",
        "  ",
        "'' '''",
        "\n* ",
        "<sup>",
        "| a=b ",
        "{{{a|",
        "}}}",
        "{{x}}, ",
        "{{subst:",
        "{{IPA|x}}(",
        "{{x|y}} ",
        "{{a|b=\n\n",
        "__A_",
        "<td>",
        "{{#expr:(",
    ],
)
def test_hostile_wikitext_takes_linear_time(bomb: str) -> None:
    to_prose(bomb * 20_000)
    to_prose("{{" * 20_000 + bomb * 20_000 + "}}" * 20_000)
    to_prose("==" + bomb * 20_000)


@given(
    st.lists(
        st.sampled_from(
            [
                "{{",
                "}}",
                "[[",
                "]]",
                "{|",
                "|}",
                "\n",
                "|",
                "a",
                " ",
                "=",
                "''",
                "<ref>",
                "<",
                ":",
                "*",
                "convert",
                "'''",
            ]
        )
    )
)
def test_arbitrary_nesting_does_not_raise(tokens: list[str]) -> None:
    to_prose("".join(tokens))


@given(st.text(alphabet="abc .\n"))
def test_plain_prose_is_unchanged(text: str) -> None:
    assert to_prose(text).split() == [word for word in text.split() if word.strip(".")] or "." in text
