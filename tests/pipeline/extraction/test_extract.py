import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import ExtractionConfig
from pipeline.extraction import Extracted, decode_body, extract
from pipeline.extraction.normalization import normalize, single_line
from pipeline.ledger import Drop, Reason
from tests.pipeline.extraction.raw import RawRecord

ARTICLE = "<p>" + "The town was founded by merchants who traded in cattle and cloth. " * 5 + "</p>"
PAGE = f"""<!doctype html><html><head><title> A town &amp;
its market </title><style>p {{}}</style><script>var x = "<p>script</p>"</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About</a></li></ul></nav>
<main><h1>The market</h1>{ARTICLE}<h2>Code</h2><pre>def f():
    return 1</pre><p>First.<br>Second.</p>{ARTICLE}<img alt="picture" src="x.png"></main>
<footer><a href="/imprint">Imprint</a></footer></body></html>"""


def text_of(body: bytes | str, media: str = "html", charset: str | None = None) -> str:
    found = extract(RawRecord(body, media, charset), ExtractionConfig())
    assert isinstance(found, Extracted)
    return found.text


# In the training data, a page's top heading is its title and not part of the text.
@pytest.mark.parametrize(
    ("method", "headings"), [("default", ["Code"]), ("resiliparse", ["The market", "Code"])]
)
def test_blocks_are_on_separate_lines(method: Literal["default", "resiliparse"], headings: list[str]) -> None:
    found = extract(RawRecord(PAGE.encode()), ExtractionConfig(method=method))
    assert isinstance(found, Extracted)
    assert found.title == "A town & its market"
    lines = found.text.splitlines()
    for line in (*headings, "def f():", "    return 1", "First.", "Second."):
        assert line in lines
    for boilerplate in ("Home", "Imprint", "script", "picture", "example.org"):
        assert boilerplate not in found.text


def test_every_method_extracts_text() -> None:
    for method in ("default", "resiliparse", "trafilatura"):
        assert isinstance(extract(RawRecord(PAGE), ExtractionConfig(method=method)), Extracted)


def test_the_declared_charset_is_used() -> None:
    assert text_of("Fünf Öle".encode("cp850"), "text", "cp850") != ""
    assert text_of("Пять яблок".encode("koi8-r"), "text", "koi8-r") == "Пять яблок"


def test_wikitext_and_plain_text() -> None:
    assert text_of("'''A''' is [[b|c]].{{x}}", "wikitext") == "A is c."
    assert text_of("Line one\r\n\r\n\r\n\r\n  Line two  \n", "text") == "Line one\n\n  Line two"


@pytest.mark.parametrize(
    ("body", "media"), [(b"", "html"), ("<title>x</title>", "html"), ("{{x}}", "wikitext")]
)
@pytest.mark.parametrize("padding", ["", " \n\0\u00ad"])
def test_empty_text_is_dropped(body: bytes | str, media: str, padding: str) -> None:
    body = body + padding if isinstance(body, str) else body + padding.encode()
    assert extract(RawRecord(body, media), ExtractionConfig()) == Drop(Reason.EMPTY)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["default", "resiliparse"])
def test_nesting_is_limited(method: Literal["default", "resiliparse"]) -> None:
    found = extract(RawRecord("<div>" * 200_000 + "deep"), ExtractionConfig(method=method))
    assert isinstance(found, Drop)
    assert (found.reason, found.threshold) == (Reason.NESTING, 512)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "tag", ["<table><tr><td>", "<ul><li>", "<b><font>", "<svg><g>", "<", "<a x=y ", "&amp;"]
)
def test_malformed_markup_does_not_raise(tag: str) -> None:
    extract(RawRecord(tag * 20_000), ExtractionConfig())


def test_parser_errors_are_a_drop_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> str:
        raise RecursionError

    monkeypatch.setattr("pipeline.extraction.wikitext.to_prose", fails)
    assert extract(RawRecord("x", "wikitext"), ExtractionConfig()) == Drop(Reason.FAILED)


UTF_7 = b"~{ Hi +AAA- and +2AA- there. +AOk-t+AOk- caf+AOk- " * 20
ENCODINGS = st.sampled_from(["utf-8", "utf-16", "utf-32", "gb18030", "hz", "iso-2022-jp", "johab", "utf-7"])


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet=st.characters(), max_size=200), st.just(UTF_7)),
    st.one_of(st.none(), ENCODINGS),
)
def test_decoded_bodies_have_no_nul_and_no_lone_surrogate(body: bytes | str, declared: str | None) -> None:
    content = decode_body(body, declared)
    content.encode()
    assert "\0" not in content


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet=st.characters(), max_size=200)),
    st.sampled_from(["html", "wikitext", "text"]),
)
def test_extracted_text_is_normalized(body: bytes | str, media: str) -> None:
    found = extract(RawRecord(body, media), ExtractionConfig())
    if isinstance(found, Drop):
        assert found.reason in (Reason.EMPTY, Reason.FAILED)
        return
    found.text.encode()
    assert "\0" not in found.text
    assert "\r" not in found.text
    assert unicodedata.is_normalized("NFC", found.text)
    assert found.text == normalize(found.text)
    assert found.text.strip()
    assert found.title == single_line(found.title)
    assert "\n" not in found.title


@given(st.text(alphabet=st.characters()))
def test_normalize_is_idempotent_and_encodable(text: str) -> None:
    normalized = normalize(text)
    assert normalize(normalized) == normalized
    normalized.encode()


def test_normalize() -> None:
    assert (
        normalize("a\r\nb\u2028c\u00a0d\u3000e\u00ad\ufeff\ud800f \t\n\n\n\n  g\n") == "a\nb\nc d ef\n\n  g"
    )
    assert normalize("e\u0301 x²") == "é x²"
