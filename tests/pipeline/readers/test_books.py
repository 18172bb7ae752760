import gzip
from pathlib import Path

import pytest

from pipeline.ledger import Reason
from pipeline.readers import books, read
from pipeline.readers.record import Damaged, Record, Skipped, Split

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
    (found,) = read(Split(str(path), path.name, "books", "books", 0, len(data)))
    assert isinstance(found, Record)
    return found


def test_gutenbergs_own_words_are_removed(tmp_path: Path) -> None:
    found = book(tmp_path / "tale.txt", GUTENBERG.encode())
    assert isinstance(found.body, str)
    assert found.body.split() == ["CHAPTER", "I", "It", "was", "a", "day."]
    assert found.title == "A Tale"
    assert (found.origin.offset, found.origin.length) == (0, len(GUTENBERG))


def test_the_old_small_print_is_removed() -> None:
    text = (
        "Small print\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\nHamlet\nWho's there?"
    )
    body, header = books.without_gutenberg(text)
    assert body.strip() == "Hamlet\nWho's there?"
    assert header.startswith("Small print")


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# Title: Poetics\n\n## Author: Aristotle\n\nI propose", "Poetics"),
        ("\n# The *Odyssey*\n\nTell me, Muse", "The *Odyssey*"),
        ("\n\nHAMLET\n\nWho's there?", "HAMLET"),
        ("A first line that goes on" + " and on" * 40, "an unnamed book"),
    ],
)
def test_titles(tmp_path: Path, text: str, title: str) -> None:
    assert book(tmp_path / "an_unnamed_book.txt", text.encode()).title == title


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "Der Bär aß süße Äpfel und Öl für fünf Häuser über den Flüssen.\r\n" * 20
    assert book(tmp_path / "a.txt", text.encode(encoding)).body == text.replace("\r\n", "\n")


def test_compressed_cut_and_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"A tale\n" * 100)
    assert book(tmp_path / "a.txt.gz", packed).body == "A tale\n" * 100
    path = tmp_path / "cut.txt.gz"
    path.write_bytes(packed[:-9])
    (cut,) = read(Split(str(path), "cut.txt.gz", "books", "books", 0, 1))
    assert isinstance(cut, Damaged)
    monkeypatch.setattr(books, "MAX_BYTES", 100)
    (large,) = read(Split(str(tmp_path / "a.txt.gz"), "a.txt.gz", "books", "books", 0, 1))
    assert isinstance(large, Skipped)
    assert large.drop.reason == Reason.TOO_LARGE
