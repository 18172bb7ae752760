import pytest

from pipeline.extraction.wikitext import to_prose


@pytest.mark.parametrize(
    ("wikitext", "expected"),
    [
        ("A {{xyzzy|short text}} in a sentence.", "A short text in a sentence."),
        ("{{xyzzy|Paris}} is a town.", "Paris is a town."),
        ("A {{xyzzy|de|Haus}} here.", "A Haus here."),
        ("A {{xyzzy|Haus|de|Das Haus}} here.", "A Haus here."),
        ("{{nowrap|a {{xyzzy|b}}}}", "a b"),
        ("{{xyzzy|Alone}}\nText.", "Text."),
        ("* {{xyzzy|Alone}}\nText.", "Text."),
        ("A{{xyzzy|x|y}} b {{xyzzy|x|key=value}} c.", "A b c."),
        ("A {{xyzzy|Q123456}} {{xyzzy|a.jpg}} {{xyzzy|http://a.b}} {{xyzzy|left}} {{xyzzy|#fff}} b.", "A b."),
        (
            "A{{sfn|Lee}} {{citation needed|reason}} {{main|Other}} {{cite web|x}} {{r|Lee}} {{anchor|x}} b.",
            "A b.",
        ),
        ("{{Infobox thing|Name}} {{Navbox|x}} text", "text"),
    ],
)
def test_short_plain_argument_in_a_sentence_is_kept(wikitext: str, expected: str) -> None:
    assert to_prose(wikitext).strip() == expected
