import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger import Reason
from pipeline.readers import read
from pipeline.readers.books import reader
from pipeline.readers.record import Damaged, InputSplit, Record, Skipped
from tests.commands import REAL_DATA

REAL = REAL_DATA / "books"
GUTENBERG = """The Project Gutenberg EBook of A Tale, by Nobody

Title: A Tale
Author: Nobody

*** START OF THIS PROJECT GUTENBERG EBOOK A
TALE ***

CHAPTER I

It was a day.


End of the Project Gutenberg EBook of A Tale, by Nobody

*** END OF THIS PROJECT GUTENBERG EBOOK A TALE ***
License.
"""


def book(path: Path, data: bytes) -> Record:
    path.write_bytes(data)
    (found,) = read(InputSplit(str(path), path.name, "books", "books", 0, len(data)))
    assert isinstance(found, Record)
    return found


def test_gutenberg_boilerplate_is_removed(tmp_path: Path) -> None:
    found = book(tmp_path / "tale.txt", GUTENBERG.encode())
    assert isinstance(found.body, str)
    assert found.body.split() == ["CHAPTER", "I", "It", "was", "a", "day."]
    assert found.title == "A Tale"
    assert (found.origin.offset, found.origin.length) == (0, len(GUTENBERG))


def test_metadata_fields_are_not_text(tmp_path: Path) -> None:
    found = book(tmp_path / "a.md", b"# Title: A Tale\n\n## Author: Nobody\n\n-------\n\nIt was a day.\n")
    assert (found.title, found.body) == ("A Tale", "\nIt was a day.\n")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Title: Poetics\n\n## Author: Aristotle\n\nI propose", "Poetics"),
        ("\n# The *Odyssey*\n\nTell me, Muse", "The *Odyssey*"),
        ("\n\nHAMLET\n\nWho's there?", "HAMLET"),
        ("A first line that goes on" + " and on" * 40, "an unnamed book"),
        ("\nCHAPTER I\n\nIt was a day.", "an unnamed book"),
    ],
)
def test_title_of_a_book(tmp_path: Path, text: str, title: str) -> None:
    assert book(tmp_path / "an_unnamed_book.txt", text.encode()).title == title


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings_are_detected(tmp_path: Path, encoding: str) -> None:
    text = "Der Bär aß süße Äpfel und Öl für fünf Häuser über den Flüssen.\r\n" * 20
    assert book(tmp_path / "a.txt", text.encode(encoding)).body == text.replace("\r\n", "\n")


def test_compressed_truncated_and_too_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"A tale\n" * 100)
    assert book(tmp_path / "a.txt.gz", packed).body == "A tale\n" * 100
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(packed[:-9])
    (cut,) = read(InputSplit(str(path), "cut.txt.gz", "books", "books", 0, 1))
    assert isinstance(cut, Damaged)
    monkeypatch.setattr(reader, "MAX_BYTES", 100)
    (large,) = read(InputSplit(str(tmp_path / "a.txt.gz"), "a.txt.gz", "books", "books", 0, 1))
    assert isinstance(large, Skipped)
    assert large.drop.reason == Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("declared", "language"),
    [("Ukrainian", "uk"), ("Français", "fr"), ("en-GB", "en"), ("English, French", "en"), ("unknown", "")],
)
def test_language_of_a_book_in_any_spelling(tmp_path: Path, declared: str, language: str) -> None:
    text = f"Title: A Tale\nLanguage: {declared}\n\n*** START OF THE PROJECT GUTENBERG EBOOK ***\n\nDay.\n"
    assert book(tmp_path / "a.txt", text.encode()).language == language


CHAPTERS = "".join(f"## Chapter {number}\n\n{'It was a day. ' * 900}\n\n" for number in (1, 2, 3))


def test_long_book_is_split_into_chapters(tmp_path: Path) -> None:
    text = f"# Title: A Tale\n\n## Author: Nobody\n\n## Language: German\n\n{CHAPTERS}"
    path = tmp_path / "tale.md"
    path.write_text(text)
    found = list(read(InputSplit(str(path), "tale.md", "books", "books", 0, len(text))))
    records = [item for item in found if isinstance(item, Record)]
    assert [record.title for record in records] == [
        f"Nobody: A Tale — Chapter {number} [{number}/3]" for number in (1, 2, 3)
    ]
    assert "".join(str(record.body) for record in records) == "\n" + CHAPTERS
    for record in records:
        begin, length = record.origin.offset, record.origin.length
        assert record.body == text[begin : begin + length]
        assert record.language == "de"


def test_tei_is_read_and_malformed_xml_is_damage(tmp_path: Path) -> None:
    found = book(tmp_path / "a.xml", b"<TEI><text><body><p>It was a day.</p></body></text></TEI>")
    assert (found.body, found.title, found.media) == ("It was a day.\n\n", "a", "text")
    path = tmp_path / "b.xml"
    path.write_bytes(b"<TEI><text><p>It was")
    (cut,) = read(InputSplit(str(path), "b.xml", "books", "books", 0, 1))
    assert isinstance(cut, Damaged)
    assert "not well-formed" in cut.error


@pytest.mark.skipif(not REAL.exists(), reason="needs ../shared/data beside the repository")
def test_real_books_have_the_expected_chapters() -> None:
    expected = {"de/DEU088": 17, "de/DEU039": 62, "en/Kate_Chopin_The_Awakening": 38, "en/Herodotus": 9}
    expected |= {"fr/FRA03201": 16, "fr/FRA07101": 23, "en/Philip_K_Dick": 1, "de/DEU020": 2}
    for name, count in expected.items():
        (path,) = REAL.glob(f"{name}*")
        records = list(read(InputSplit(str(path), path.name, "books", "books", 0, 1)))
        assert len(records) == count, name
        assert len({record.origin.offset for record in records}) == count


@given(st.text(max_size=300))
def test_any_text_is_a_book(text: str) -> None:
    found = reader.parse_text(text)
    assert found.text == text.replace("\r\n", "\n")[found.source_offset :][: len(found.text)]
