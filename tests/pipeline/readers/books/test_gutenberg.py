import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.books.gutenberg import bounds

STORY = "CHAPTER I\n\nProduced by nature, it was a day.\n\nIt ended."
STARTS = [
    "*** START OF THE PROJECT GUTENBERG EBOOK A TALE ***",
    "***START OF THE PROJECT GUTENBERG EBOOK A TALE***",
    "*** START OF THIS PROJECT GUTENBERG EBOOK A LONG\nTALE ***",
    "*** START OF THIS COPYRIGHTED PROJECT GUTENBERG EBOOK A TALE ***",
    "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
    "*END THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.10/04/01*END*",
]
CREDITS = [
    "",
    "Produced by Nobody and the Online Distributed\nProofreading Team at http://www.pgdp.net",
    "E-text prepared by Nobody",
    "This etext was prepared by Nobody <nobody@example.org>.",
    "This etext was typed by Nobody",
    "[Transcriber's Note: Spelling is as printed.]",
    "[Illustration: cover]\n\nTranscribed from the 1880 edition by Nobody",
    "(This file was produced from images generously made\navailable by a library)",
    "Dieses Buch wurde uns freundlicherweise zur Verfügung gestellt",
    "Anmerkungen zur Transkription: Die Schreibung ist die des Drucks.",
    "Note de transcription: L'orthographe est d'origine.",
]
ENDS = [
    "*** END OF THE PROJECT GUTENBERG EBOOK A TALE ***",
    "***END OF THE PROJECT GUTENBERG EBOOK A TALE***",
    "*** END OF THIS PROJECT GUTENBERG EBOOK A TALE ***",
    "End of the Project Gutenberg EBook of A Tale, by Nobody",
    "End of Project Gutenberg's A Tale, by Nobody",
    "End of this Project Gutenberg Etext of A Tale",
    "Ende dieses Projekt Gutenberg Etextes Eine Geschichte",
    "Fin de Project Gutenberg's Un conte, par Personne",
    "Fin du Project Gutenberg EBook of Un conte",
    "Einde van het Project Gutenberg EBook",
    "Transcriber's Note: obvious errors were corrected.\n\nEnd of Project Gutenberg's A Tale",
]


@given(st.sampled_from(STARTS), st.sampled_from(CREDITS), st.sampled_from(ENDS))
def test_boilerplate_is_removed(start: str, credit: str, end: str) -> None:
    header = f"The Project Gutenberg EBook of A Tale\n\nTitle: A Tale\n\n{start}\n\n{credit}"
    text = f"{header}\n\n\n{STORY}\n\n\n{end}\n\nLicence."
    begin, stop = bounds(text)
    assert text[begin:stop].strip() == STORY


def test_header_without_an_end_marker_is_removed() -> None:
    header = "Project Gutenberg's A Tale, by Nobody\n\nThis eBook is for the use of anyone\n\nTitle: A Tale"
    text = f"{header}\n\n{STORY}"
    begin, end = bounds(text)
    assert text[begin:end] == STORY


def test_other_books_are_unchanged() -> None:
    text = "Produced by hand\n\nTranscriber's Note: none.\n\nHe printed like Gutenberg.\n\nEnd of the story"
    assert bounds(text) == (0, len(text))


@given(st.lists(st.sampled_from([*STARTS, *CREDITS, *ENDS, STORY, "\n\n", " "])))
def test_bounds_are_within_the_text(parts: list[str]) -> None:
    text = "\n\n".join(parts)
    begin, end = bounds(text)
    assert 0 <= begin <= end <= len(text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "repeated", [" ", "\n", "\n ", "* ", "[Illustration", "*** START OF THE PROJECT GUTENBERG ", "E-text "]
)
def test_pathological_texts_are_fast(repeated: str) -> None:
    bounds("Project Gutenberg\n\n" + repeated * 500_000 + "\n\nend")
    bounds(f"{STARTS[0]}\n\n" + repeated * 500_000 + "x")
