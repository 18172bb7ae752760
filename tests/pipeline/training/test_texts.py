from pathlib import Path

from pipeline.training import texts


def test_passages_cut_documents_and_leave_out_short_remainders(tmp_path: Path) -> None:
    sentence = "The museum of the town shows how ships were built. "
    (tmp_path / "book.txt").write_text(sentence * 124, encoding="utf-8")
    (document,) = texts.documents(str(tmp_path / "book.txt"))
    passages = list(texts.passages(str(tmp_path / "book.txt")))
    assert len(document) > 2 * texts.PASSAGE_CHARACTERS
    assert document.startswith("".join(passages))
    assert 0 < len(document) - len("".join(passages)) <= texts.MIN_DOCUMENT_CHARACTERS
