"""Encoding detection on chardet's own test pages, and on languages in their usual encodings."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo import packages
from pipeline.charset import decode

PYTHON_NAMES = {
    "Big5": "big5hkscs",
    "EUC-KR": "cp949",
    "GB2312": "gb18030",
    "MacCyrillic": "mac_cyrillic",
    "MacRoman": "mac_roman",
    "SHIFT_JIS": "cp932",
    "TIS-620": "cp874",
    "iso-8859-1": "cp1252",
}
SAMPLES = {
    ("cp1251", "koi8-r", "cp866"): "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    ("cp1250", "iso8859-2"): "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv.",
    ("cp1252", "mac_roman", "cp850"): "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    ("cp1253", "iso8859-7"): "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    ("cp1254",): "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",
    ("cp1255",): "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    ("cp1256",): "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق.",
    ("cp1257",): "Visi žmonės gimsta laisvi ir lygūs savo orumu ir teisėmis.",
    ("cp874",): "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    ("gb18030",): "人人生而自由,在尊严和权利上一律平等。",
    ("big5",): "人人生而自由,在尊嚴和權利上一律平等。",
    ("cp932", "euc_jp"): "すべての人間は、生まれながらにして自由であり、かつ平等である。",
    ("cp949",): "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
}
CASES = [(encoding, text) for encodings, text in SAMPLES.items() for encoding in encodings]


def pages() -> Iterator[tuple[str, str, bytes]]:
    """Yield encoding, name and content of chardet's pages, except for encodings that Python lacks."""
    package = packages.table()["encodings"]
    for name, content in packages.members(package, packages.fetch(package)):
        folder = PurePosixPath(name).parent.name
        encoding = re.sub(r"(?<=\d)-[a-z]{3,}$", "", folder)
        if folder != "EUC-TW":
            yield PYTHON_NAMES.get(encoding, encoding), name, content


def words(text: str) -> str:
    return " ".join(text.removeprefix("\ufeff").split())


@pytest.mark.parametrize("strip_declarations", [False, True])
def test_real_pages(strip_declarations: bool) -> None:
    total, wrong = 0, []
    for encoding, name, page in pages():
        content = re.sub(rb"(?i)(charse|encodin)[tg](\s*=)", rb"\1_\2", page) if strip_declarations else page
        total += 1
        if words(decode(content)) != words(content.decode(encoding, "replace")):
            wrong.append(name)
    assert total == 424
    assert len(wrong) <= 2, wrong


@given(st.sampled_from(CASES), st.integers(1, 8), st.sampled_from(["{}", "<html><p>{}</p><p>OK</p></html>"]))
def test_languages_in_their_usual_encodings(case: tuple[str, str], count: int, frame: str) -> None:
    encoding, text = case
    page = frame.format(" ".join([text] * count))
    assert decode(page.encode(encoding)) == page
    assert decode(page.encode(encoding), "utf-8") == page


@given(st.sampled_from(CASES), st.data())
def test_utf8_with_errors(case: tuple[str, str], data: st.DataObject) -> None:
    page = (case[1] * 20).encode()
    at = data.draw(st.integers(0, len(page) - 1))
    damaged = page[:at] + b"\xff" + page[at + 1 :]
    assert decode(damaged) == damaged.decode("utf-8", "replace")
