from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InputError, ManifestError, MismatchError
from core.shards import STAGE, Header, Rows, Shards, Spans, Totals, check_tokenizer, publish, write_file
from core.stage import Stage

LENGTH = 15
BYTES = np.arange(300, dtype=np.int32) % 7
UNSAFE_NAME = "_my source/2024"
"""A source name that is not a valid folder name."""
COLUMNS = ("document_id", "start", "length", "offset")


def _header(vocabulary_size: int = 300) -> Header:
    return Header(
        sequence_length=LENGTH, vocabulary_size=vocabulary_size, bos=1, eos=2, pad=3,
        tokenizer_sha256="f" * 64, packing="any", corpus="0" * 32,
    )  # fmt: skip


def _rows(count: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    bounds = np.cumsum([0, *random.integers(0, 4, count)]).astype(np.int64)
    ids = random.integers(0, 256, (bounds[-1], 16)).astype(np.uint8)
    start, length, offset = (random.integers(0, 5, bounds[-1]).astype(np.int32) for _ in range(3))
    spans = Spans(bounds, start, length, ids, offset)
    return Rows(random.integers(0, 300, (count, LENGTH + 1)).astype(np.uint16), spans)


HEADER = _header()
PARTS = [_rows(10, 1), _rows(0, 2), _rows(7, 3)]


def _write(folder: str) -> None:
    header = _header()
    files = [
        write_file(folder, "train", "web", f"{n:05d}", rows, header, BYTES) for n, rows in enumerate(PARTS)
    ]
    files.append(write_file(folder, "validation", UNSAFE_NAME, "00000", PARTS[0], header, BYTES))
    publish(Stage(STAGE, folder), reversed(files), header)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("shards") / "out")
    _write(path)
    return path


def _expect(shards: Shards, indices: list[int]) -> None:
    tokens, spans = shards.read("train", "web", np.array(indices, np.int64))
    assert tokens.shape == (len(indices), LENGTH + 1)
    assert tokens.dtype == np.uint16
    for at, index in enumerate(indices):
        part, row = (PARTS[0], index) if index < 10 else (PARTS[2], index - 10)
        assert (tokens[at] == part.tokens[row]).all()
        got, expected = slice(*spans.bounds[at : at + 2]), slice(*part.spans.bounds[row : row + 2])
        for column in COLUMNS:
            assert (getattr(spans, column)[got] == getattr(part.spans, column)[expected]).all()


@given(st.lists(st.integers(0, 16)))
def test_read_returns_rows_in_requested_order(folder: str, indices: list[int]) -> None:
    _expect(Shards.open(folder), indices)


def test_totals_are_sums_over_files(folder: str) -> None:
    shards = Shards.open(folder)
    assert shards.sources == (UNSAFE_NAME, "web")
    assert [
        shards.rows("train", "web"),
        shards.rows("validation", UNSAFE_NAME),
        shards.rows("train", UNSAFE_NAME),
    ] == [
        17,
        10,
        0,
    ]
    assert shards.read("validation", UNSAFE_NAME, np.arange(10))[0].tolist() == PARTS[0].tokens.tolist()
    web = shards.facts.sources["train"]["web"]
    assert web.tokens == sum(int(part.spans.length.sum()) for part in PARTS)
    assert web.bytes == sum(int(BYTES[part.tokens].sum()) for part in PARTS)
    assert sum(shards.facts.files.values(), Totals()).model_dump() == shards.manifest.counts


def test_files_are_deterministic(folder: str, tmp_path: Path) -> None:
    _write(str(tmp_path))
    again, first = Shards.open(str(tmp_path)), Shards.open(folder)
    assert again.manifest == first.manifest
    assert again.manifest.sha256() == first.manifest.sha256()


def test_large_vocabularies_use_uint32(tmp_path: Path) -> None:
    header = _header(70_000)
    rows = Rows(PARTS[0].tokens.astype(np.uint32) + 69_000, PARTS[0].spans)
    file = write_file(str(tmp_path), "train", "web", "00000", rows, header, np.ones(70_000, np.int32))
    publish(Stage(STAGE, str(tmp_path)), [file], header)
    tokens, _ = Shards.open(str(tmp_path)).read("train", "web", np.arange(10))
    assert tokens.dtype == np.uint32
    assert (tokens == rows.tokens).all()


def test_altered_files_are_detected_before_use(tmp_path: Path) -> None:
    _write(str(tmp_path))
    path = tmp_path / "train/web/part-00002.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    shards = Shards.open(str(tmp_path))
    shards.read("train", "web", np.array([9]))  # another file, intact
    for use in (shards.verify, lambda: shards.read("train", "web", np.array([0, 10]))):
        with pytest.raises(
            ManifestError, match=r"part-00002\.arrow: .* altered; restore it or run the stage again"
        ):
            use()
    path.write_bytes(data[:-1])
    with pytest.raises(ManifestError, match=r"part-00002\.arrow: \d+ bytes, but manifest\.json says"):
        Shards.open(str(tmp_path))
    path.unlink()
    with pytest.raises(ManifestError, match=r"part-00002\.arrow: missing"):
        Shards.open(str(tmp_path))


def test_unfinished_shards_and_out_of_range_rows_are_rejected(folder: str, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="run it"):
        Shards.open(str(tmp_path))
    with pytest.raises(InputError, match="rows 3 to 17 of train/web, which has 17"):
        Shards.open(folder).read("train", "web", np.array([3, 17]))
    with pytest.raises(InputError, match="of train/none, which has 0"):
        Shards.open(folder).read("train", "none", np.array([0]))


def test_mismatched_tokenizer_is_rejected(folder: str) -> None:
    shards = Shards.open(folder)
    check_tokenizer(shards, SimpleNamespace(sha256="f" * 64))
    with pytest.raises(
        MismatchError, match="packed with tokenizer ffffffffffff…, but this one is eeeeeeeeeeee…"
    ):
        check_tokenizer(shards, SimpleNamespace(sha256="e" * 64))
