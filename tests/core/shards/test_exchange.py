"""Documents survive the way through shards and the formats of other trainers."""

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import InputError, OutputError
from core.shards import STAGE, Shards, packing, publish, write_file
from core.shards.exchange import MAGIC, convert, documents, export
from core.stage import Stage

EOS = 2
TEXTS = st.lists(st.lists(st.integers(4, 299), max_size=40), min_size=1, max_size=30)


class Tokenizer:
    """A tokenizer with only the attributes that a conversion reads."""

    bos, eos, pad, sha256 = 1, EOS, 3, "f" * 64

    def __init__(self, vocabulary_size: int = 300) -> None:
        self.vocabulary_size = vocabulary_size

    def byte_lengths(self) -> np.ndarray:
        return np.ones(self.vocabulary_size, np.int32)

    def token_bytes(self, _: int) -> bytes:
        return b"x"


def _shards(folder: Path, texts: list[list[int]], copies: int, vocabulary_size: int) -> Shards:
    header = packing.make_header(Tokenizer(vocabulary_size), sequence_length=15, corpus="0" * 32)
    packed = [
        packing.Document(index.to_bytes(16), np.array([1, *text, EOS], header.dtype), copy)
        for index, text in enumerate(texts)
        for copy in range(copies)
    ]
    rows = packing.pack(packed, header)
    # Two files with parts of the same documents, as a group that is too large for one has.
    half = len(rows.tokens) // 2
    files = [
        write_file(
            str(folder), "train", "web", part, rows.take(chosen), header, np.ones(vocabulary_size, np.int32)
        )
        for part, chosen in (("00000", np.arange(half)), ("00000_001", np.arange(half, len(rows.tokens))))
    ]
    publish(Stage(STAGE, str(folder)), files, header)
    return Shards.open(str(folder))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, st.integers(1, 3), st.sampled_from([300, 70_000]), st.sampled_from(["flat", "megatron"]))
def test_no_document_is_lost_or_changed(tmp_path_factory, texts, copies, vocabulary_size, to):
    folder = tmp_path_factory.mktemp("exchange")
    shards = _shards(folder / "shards", texts, copies, vocabulary_size)
    expected = sorted([1, *text, EOS] for text in texts for _ in range(copies))
    assert sorted(document.tolist() for document in documents(shards, "train")) == expected
    train, *_ = list(export(shards, str(folder / "out"), to))
    convert(train, str(folder / "again"), Tokenizer(vocabulary_size), 7, "web")
    again = Shards.open(str(folder / "again"))
    again.verify()
    assert sorted(document.tolist() for document in documents(again, "train")) == expected
    assert again.manifest.counts["tokens"] == sum(map(len, expected))


def test_flat_file_is_the_documents_one_after_another(tmp_path):
    shards = _shards(tmp_path / "shards", [[5, 6], [7]], 1, 300)
    train, validation = list(export(shards, str(tmp_path / "out"), "flat"))
    tokens = np.fromfile(train, np.uint16).tolist()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train.bin", "validation.bin"]
    assert tokens in ([1, 5, 6, 2, 1, 7, 2], [1, 7, 2, 1, 5, 6, 2]) and validation.stat().st_size == 0
    with pytest.raises(OutputError, match="exists"):
        list(export(shards, str(tmp_path / "out"), "flat"))
    with pytest.raises(OutputError, match="local disk only"):
        list(export(shards, "s3://bucket/out", "flat"))


def test_index_is_megatrons(tmp_path):
    """The fields in the order in which ``IndexedDataset`` of Megatron-Core reads them."""
    shards = _shards(tmp_path / "shards", [[5, 6], [7]], 1, 300)
    _, index, *_ = list(export(shards, str(tmp_path / "out"), "megatron"))
    data = index.read_bytes()
    assert data[:9] == MAGIC and struct.unpack_from("<QBQQ", data, 9) == (1, 8, 2, 3)
    lengths = np.frombuffer(data, "<i4", 2, 34).tolist()
    assert sorted(lengths) == [3, 4]
    assert np.frombuffer(data, "<i8", 2, 42).tolist() == [0, 2 * lengths[0]]
    assert np.frombuffer(data, "<i8", 3, 58).tolist() == [0, 1, 2] and len(data) == 82


@pytest.mark.parametrize(
    ("content", "index", "message"),
    [
        (b"", None, "0 bytes, which are not tokens"),
        (b"abc", None, "3 bytes, which are not tokens of 2 bytes"),
        (np.array([400], "<u2").tobytes(), None, "token 400, but the tokenizer has 300"),
        (b"ab", b"no index", "not an index of Megatron's"),
        (b"ab", struct.pack("<9sQBQQ", MAGIC, 2, 8, 0, 1), "version 2 with type 8"),
        (b"ab", struct.pack("<9sQBQQ", MAGIC, 1, 8, 1, 2), "ends early"),
        (b"ab", struct.pack("<9sQBQQiqqq", MAGIC, 1, 8, 1, 2, 9, 0, 0, 1), "beyond the end"),
    ],
)
def test_other_files_are_refused(tmp_path, content, index, message):
    file = tmp_path / "train.bin"
    file.write_bytes(content)
    if index is not None:
        file.with_suffix(".idx").write_bytes(index)
    with pytest.raises(InputError, match=message):
        convert(file, str(tmp_path / "out"), Tokenizer(), 7, "web")
    assert not (tmp_path / "out").exists()
