"""Documents are found in shards by their ids, and by their URLs through the corpus."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core import storage
from core.errors import InputError
from core.shards import Shards
from core.shards.documents import DocumentSpan, document_urls, find_documents, resolve, resolve_one
from tests.core.shards.test_shards import folder  # noqa: F401


def all_spans(shards: Shards) -> Iterator[DocumentSpan]:
    """Yield every span, read with the tokens."""
    for split, source in shards.groups:
        for row in range(shards.rows(split, source)):
            _, spans = shards.read(split, source, np.array([row]))
            for document, start, length in zip(spans.document_id, spans.start, spans.length, strict=True):
                yield DocumentSpan(document.tobytes().hex(), split, source, row, int(start), int(length))


def test_all_spans_of_documents_are_found(folder: str) -> None:  # noqa: F811
    shards = Shards.open(folder)
    spans = list(all_spans(shards))
    ids = sorted({span.document for span in spans})
    assert len(ids) > 3
    assert list(find_documents(shards, ids)) == spans
    some = [*ids[::3], "f" * 32]
    assert list(find_documents(shards, some)) == [span for span in spans if span.document in some]
    # Ids that agree in their first halves are distinguished.
    assert not list(find_documents(shards, [ids[0][:16] + "0" * 16])) or ids[0].endswith("0" * 16)
    assert not list(find_documents(shards, []))


def test_tokens_are_not_read(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    shards = Shards.open(folder)
    document = next(all_spans(shards)).document
    read: list[tuple[int, int]] = []
    original = storage.read_range

    def counting(path: str, offset: int, length: int) -> bytes:
        data = original(path, offset, length)
        if offset:  # not the head of the file, of fixed size
            read.append((offset, len(data)))
        return data

    monkeypatch.setattr(storage, "read_range", counting)
    assert list(find_documents(shards, [document]))
    groups = [shards.read(*group, np.arange(shards.rows(*group)))[1] for group in shards.groups]
    spans, rows = (
        sum(len(group.start) for group in groups),
        sum(entry.rows for entry in shards.manifest.files),
    )
    files = len(shards.manifest.files)
    # Ids, start and length of each span, and of each file its bounds and twice its last bound.
    assert sum(length for _, length in read) <= 24 * spans + 4 * (rows + files) + 8 * files


@pytest.fixture
def run(tmp_path: Path) -> str:
    """A run with documents in two files, two of them with the same URL."""
    (tmp_path / "documents" / "source=web").mkdir(parents=True)
    urls = ["http://a.org/1", "http://a.org/2", None, "http://a.org/1"]
    for number, url in enumerate(urls):
        table = pa.table({"id": [f"{number:032x}"], "url": pa.array([url], pa.string())})
        pq.write_table(table, tmp_path / "documents" / "source=web" / f"{number}.parquet")
    return str(tmp_path)


def test_names_are_resolved(run: str, tmp_path: Path) -> None:
    upper = "ABCDEF" + "0" * 26
    names = ["http://a.org/1", "http://a.org/2", "http://a.org/3", upper, "abc"]
    assert resolve(run, names) == {
        "http://a.org/1": [f"{0:032x}", f"{3:032x}"],
        "http://a.org/2": [f"{1:032x}"],
        "http://a.org/3": [],
        upper: [upper.lower()],
        "abc": [],
    }
    assert resolve_one(run, "http://a.org/2") == [f"{1:032x}"]
    with pytest.raises(InputError, match=r"'abc': neither an id \(32 hexadecimal digits\) nor the URL"):
        resolve_one(run, "abc")
    assert document_urls(run, [f"{1:032x}", f"{2:032x}"]) == {f"{1:032x}": "http://a.org/2"}


def test_only_urls_need_the_corpus(tmp_path: Path) -> None:
    assert resolve(str(tmp_path), ["0" * 32]) == {"0" * 32: ["0" * 32]}
    with pytest.raises(InputError, match=r"'http://a\.org/1': not a document's id, and .* has no documents/"):
        resolve(str(tmp_path), ["0" * 32, "http://a.org/1"])
