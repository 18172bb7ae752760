import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.charset import canonical, decode

RUSSIAN = "Все люди рождаются свободными и равными в своём достоинстве и правах. " * 20
GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren; für Äpfel und Öl. " * 20
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。" * 20
CHINESE = "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。" * 20


def html(text: str, charset: str) -> str:
    return f'<html><head><meta charset="{charset}"></head><body>{text}</body></html>'


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (RUSSIAN, "windows-1251"),
        (RUSSIAN, "koi8-r"),
        (GERMAN, "iso-8859-1"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc-jp"),
        (JAPANESE, "iso-2022-jp"),
        (CHINESE, "gb2312"),
        (CHINESE, "hz-gb-2312"),
    ],
)
def test_encoding_is_declared_by_transport_or_page_or_detected(text: str, encoding: str) -> None:
    body = text.encode("hz" if encoding.startswith("hz") else encoding)
    assert decode(body, encoding) == text
    page = html(text, encoding)
    assert decode(page.encode("hz" if encoding.startswith("hz") else encoding)) == page
    if not encoding.startswith(("hz", "iso-8859-1")):
        assert decode(body) == text


def test_byte_order_mark_takes_precedence() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert decode(html(RUSSIAN, "koi8-r").encode(encoding), "koi8-r") == html(RUSSIAN, "koi8-r")


def test_valid_utf8_takes_precedence_over_one_declaration() -> None:
    assert decode(RUSSIAN.encode(), "windows-1251") == RUSSIAN
    assert decode(html(RUSSIAN, "windows-1251").encode()) == html(RUSSIAN, "windows-1251")
    assert decode(html(GERMAN, "iso-8859-1").encode(), "koi8-r") == html(GERMAN, "iso-8859-1")


def test_two_equal_declarations_take_precedence_over_valid_utf8() -> None:
    # These bytes are also valid UTF-8.
    page = html("联通", "gbk")
    assert decode(page.encode("gbk"), "gb2312") == page


def test_truncated_utf8() -> None:
    assert decode("Würde ü".encode()[:-1]) == "Würde "


def test_contradicted_declarations_are_ignored() -> None:
    assert decode(RUSSIAN.encode("windows-1251"), "utf-8") == RUSSIAN


def test_utf16_and_utf32_without_byte_order_mark() -> None:
    page = html("plain text", "utf-16")
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        assert decode(page.encode(encoding)) == page


def test_labels_are_interpreted_as_in_browsers() -> None:
    labels = ("ISO-8859-1", " gb2312 ", "x-sjis", "nonsense", "x-mac-cyrillic")
    assert [canonical(label) for label in labels] == ["cp1252", "gb18030", "cp932", None, "mac_cyrillic"]


@given(st.binary(max_size=300), st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["hz", "utf-16"])))
def test_decode_never_fails(body: bytes, declared: str | None) -> None:
    decode(body, declared)
    decode(b'<meta charset="' + body[:10] + b'">' + body, declared)


@given(st.text())
def test_utf8_round_trips(text: str) -> None:
    page = html(text, "utf-8").encode("utf-8", "ignore")
    assert decode(page, "utf-8") == page.decode()
