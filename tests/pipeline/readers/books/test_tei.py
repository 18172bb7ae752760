from xml.parsers.expat import ExpatError

import pytest

from pipeline.readers.books.chapters import split_chapters
from pipeline.readers.books.tei import is_tei, parse

HEADER = """<teiHeader><fileDesc><titleStmt>
<title>Der <hi>Weg</hi> : ELTeC ausgabe</title><title>Other</title>
<author>Niemand, Nora (1805-1880)</author><author>Keiner</author></titleStmt><publicationStmt><availability>
<licence target="https://creativecommons.org/licenses/by-sa/4.0/"><p>Free.</p></licence></availability>
</publicationStmt><sourceDesc><p><title>Not this</title></p></sourceDesc></fileDesc>
<profileDesc><langUsage><language ident="de-AT"/></langUsage></profileDesc></teiHeader>"""


def tei(body: str, root: str = '<TEI xmlns="http://www.tei-c.org/ns/1.0">') -> bytes:
    name = root[1:].partition(" ")[0].rstrip(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}{HEADER}<text>{body}</text></{name}>'.encode()


def test_header_metadata() -> None:
    found = parse(tei("<body/>"))
    assert (found.title, found.author) == ("Der Weg", "Niemand, Nora & Keiner")
    assert (found.language, found.license) == ("de-AT", "CC-BY-SA-4.0")
    assert found.text == ""


def test_block_elements_are_separate_lines() -> None:
    body = """<front><titlePage>Title page</titlePage></front><body><div><head>Erstes<lb/>Kapitel</head>
<p>Ein <hi>Wort</hi><note>Fußnote</note>, das Wan<pb/>dern<lb break="no"/>de
  zweite &amp; <choice><sic>drite</sic><corr>dritte</corr></choice>.</p>
<lg><l>Erster Vers,</l><l>zweiter Vers.</l></lg><sp><speaker>NORA.</speaker><p>Ja?</p></sp>
<list><item>eins</item><item>zwei</item></list><table><row><cell>a</cell><cell>b</cell></row></table></div>
<div type="notes"><p>Anmerkung</p></div></body>"""
    assert parse(tei(body)).text == (
        "Erstes Kapitel\n\nEin Wort, das Wandernde zweite & dritte.\n\nErster Vers,\nzweiter Vers.\n\n"
        "NORA.\n\nJa?\n\neins\nzwei\n\na\tb\n\n"
    )


def test_divisions_have_headings_and_byte_offsets() -> None:
    words = "<p>" + "Wörter und Wörter. " * 1000 + "</p>"
    body = (
        f"<body><div><div><head>I.</head>{words}</div><div><head>II.</head>{words}</div></div>"
        f"<div type='x'><head>Zweites Buch</head><head>Die Stadt</head><div>{words}</div></div></body>"
    )
    content = tei(body)
    found = parse(content)
    chapters = split_chapters(found.text, found.headings, 0)
    assert [chapter.title for chapter in chapters] == ["I", "II", "Zweites Buch. Die Stadt"]
    assert all(content[chapter.source_offset :].startswith(b"<div") for chapter in chapters)
    assert "".join(found.text[chapter.start : chapter.end] for chapter in chapters) == found.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_encodings_prefixes_and_older_versions_are_read(encoding: str) -> None:
    text = '<TEI.2><text lang="de"><body><p>Bär</p></body></text></TEI.2>'
    content = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)
    assert is_tei(content)
    found = parse(content)
    assert (found.text, found.language) == ("Bär\n\n", "de")
    assert parse(b'<t:TEI xmlns:t="x"><t:text><t:p>a</t:p></t:text></t:TEI>').text == "a\n\n"
    assert not is_tei(b"<html><body>TEI</body></html>")


def test_named_entities_are_resolved_without_fetching_a_dtd() -> None:
    start = '<!DOCTYPE TEI SYSTEM "http://example.invalid/tei.dtd"><TEI><text><p>'
    assert parse(f"{start}a &mdash; b&nonsense;</p></text></TEI>".encode()).text == "a — b\n\n"


@pytest.mark.timeout(60)
def test_malicious_documents_are_rejected_or_fast() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE TEI [<!ENTITY l0 "lol">{laughs}]><TEI><text><p>&l11;</p></text></TEI>'
    with pytest.raises(ExpatError):
        parse(bomb.encode())
    deep = parse(b"<TEI><text>" + b"<div>" * 200_000 + b"x" * 40_000 + b"</div>" * 200_000 + b"</text></TEI>")
    assert len(split_chapters(deep.text, deep.headings, 0)) == 1
    with pytest.raises(ExpatError):
        parse(b"<TEI><text><p>cut sho")
