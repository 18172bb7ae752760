import hashlib
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import TokenizerConfig
from core.shards import Header, Rows
from core.shards.packing import (
    METHOD,
    Breaks,
    Document,
    best_fit_decreasing,
    pack,
    repetitions,
    split_of,
    tokenize,
    tokenized_schema,
)
from core.tokenizer import Tokenizer, train

PAD = 3


def _header(sequence_length: int, packing: str = METHOD) -> Header:
    return Header(
        sequence_length=sequence_length, vocabulary_size=70_000, bos=1, eos=2, pad=PAD,
        tokenizer_sha256="", packing=packing, corpus="",
    )  # fmt: skip


def _documents(lengths: list[int]) -> list[Document]:
    """Documents with disjoint tokens."""
    starts = np.cumsum([10, *lengths])
    return [
        Document(
            hashlib.blake2b(bytes([number]), digest_size=16).digest(),
            np.arange(start, start + length, dtype=np.uint32),
        )
        for number, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]


def _unpack(rows: Rows) -> dict[bytes, list[tuple[int, list[int]]]]:
    """Return the segments of each document, by offset; assert that spans tile the rows from the left."""
    segments: dict[bytes, list[tuple[int, list[int]]]] = {}
    spans = rows.spans
    for row, tokens in enumerate(rows.tokens):
        end = 0
        for span in range(spans.bounds[row], spans.bounds[row + 1]):
            assert spans.start[span] == end
            end += spans.length[span]
            part = tokens[spans.start[span] : end].tolist()
            segments.setdefault(spans.document_id[span].tobytes(), []).append((int(spans.offset[span]), part))
        assert 0 < end <= len(tokens)
        assert (tokens[end:] == PAD).all()
    return {document_id: sorted(parts) for document_id, parts in segments.items()}


lengths_and_size = st.integers(8, 20).flatmap(
    lambda size: st.tuples(st.lists(st.integers(2, 3 * size), max_size=40), st.just(size))
)


@given(lengths_and_size)
def test_concatenation_cuts_rows_without_padding(case: tuple[list[int], int]) -> None:
    lengths, size = case
    documents = _documents(lengths)
    rows = pack(documents, _header(size, "concatenate"))
    unpacked = _unpack(rows)
    for document_id, tokens, _ in documents:
        assert [token for _, part in unpacked[document_id] for token in part] == tokens.tolist()
    flat = rows.tokens.reshape(-1)
    assert len(rows.tokens) == -(-sum(lengths) // (size + 1)) and (flat[sum(lengths) :] == PAD).all()
    assert (flat[: sum(lengths)] != PAD).all()


@given(lengths_and_size)
def test_one_document_per_row_is_cropped(case: tuple[list[int], int]) -> None:
    lengths, size = case
    documents = _documents(lengths)
    rows = pack(documents, _header(size, "one-per-row"))
    unpacked = _unpack(rows)
    assert len(rows.tokens) == len(documents)
    for document_id, tokens, _ in documents:
        assert unpacked[document_id] == [(0, tokens[: size + 1].tolist())]


@given(lengths_and_size)
def test_pack_keeps_every_token_once(case: tuple[list[int], int]) -> None:
    lengths, size = case
    documents = _documents(lengths)
    rows = pack(documents, _header(size))
    assert rows.tokens.shape[1] == size + 1
    unpacked = _unpack(rows)
    assert len(unpacked) == len(documents)
    for document_id, tokens, _ in documents:
        offsets = [offset for offset, _ in unpacked[document_id]]
        assert offsets == list(range(0, len(tokens), size + 1))
        assert [token for _, part in unpacked[document_id] for token in part] == tokens.tolist()


@given(lengths_and_size, st.integers(1, 9))
def test_cuts_at_breaks_lose_nothing_and_take_no_more_rows(case: tuple[list[int], int], every: int) -> None:
    lengths, size = case
    documents = _documents(lengths)
    rows = pack(documents, _header(size), lambda tokens: (tokens % every == 0).astype(np.uint8))
    assert len(rows.tokens) <= len(pack(documents, _header(size)).tokens)
    unpacked = _unpack(rows)
    for document_id, tokens, _ in documents:
        assert [token for _, part in unpacked[document_id] for token in part] == tokens.tolist()
        offsets = [offset for offset, _ in unpacked[document_id]]
        for start, end in pairwise([*offsets, len(tokens)]):
            assert 0 < end - start <= size + 1
            if end - start < size + 1 and end < len(tokens):
                assert tokens[end] % every == 0


def test_the_best_place_is_taken_and_the_last_of_them() -> None:
    """Short documents fill the gaps, so the cuts cost no row."""
    lengths, breaks = [300, *[5] * 60], {150: 1, 100: 1, 95: 2, 91: 2, 80: 2}
    rows = pack(_documents(lengths), _header(99), _breaks_at(breaks))
    offsets = [offset for offset, _ in _unpack(rows)[_documents(lengths)[0].document_id]]
    # 95: a better break than 100, 5 tokens from it. 195: no document is as long as the 45 tokens from 150.
    assert offsets == [0, 95, 195, 295] and len(rows.tokens) == 6


@pytest.mark.parametrize(
    ("length", "others", "offsets"),
    [
        (300, [], [0, 100, 200]),
        (300, [4, 6], [0, 100, 200]),
        (300, [5], [0, 95, 195, 295]),  # the 5 tokens that are left take the document's place
        (260, [5, 40, 95], [0, 100, 200]),  # else 65 tokens would be left, for which 40 leave no room
    ],
)
def test_documents_are_cut_at_breaks_only_where_this_costs_nothing(
    length: int, others: list[int], offsets: list[int]
) -> None:
    documents = _documents([length, *others])
    rows = pack(documents, _header(99), _breaks_at({95: 2, 190: 2}))
    assert len(rows.tokens) == len(pack(documents, _header(99)).tokens)
    assert [offset for offset, _ in _unpack(rows)[documents[0].document_id]] == offsets


def _breaks_at(places: dict[int, int]) -> Breaks:
    """Breaks at places of the first document."""
    return lambda tokens: np.array([places.get(int(token) - 10, 0) for token in tokens], np.uint8)


@given(lengths_and_size, st.randoms())
def test_pack_is_independent_of_document_order(case: tuple[list[int], int], random: object) -> None:
    lengths, size = case
    documents = _documents(lengths)
    breaks: Breaks = lambda tokens: (tokens % 3 == 0).astype(np.uint8)  # noqa: E731
    first = pack(documents, _header(size), breaks)
    random.shuffle(documents)  # type: ignore[attr-defined]  # hypothesis gives a Random
    second = pack(documents, _header(size), breaks)
    assert first.tokens.tobytes() == second.tokens.tobytes()
    assert first.spans.offset.tobytes() == second.spans.offset.tobytes()


def _reference_best_fit(lengths: list[int], capacity: int) -> int:
    """Number of rows of a textbook best-fit-decreasing."""
    spaces: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [index for index, space in enumerate(spaces) if space >= length]
        if not fitting:
            spaces.append(capacity)
            fitting = [len(spaces) - 1]
        spaces[min(fitting, key=spaces.__getitem__)] -= length
    return len(spaces)


@given(st.lists(st.integers(1, 17), max_size=60))
def test_best_fit_decreasing_matches_a_reference(lengths: list[int]) -> None:
    rows = best_fit_decreasing(np.array(lengths, np.int64), 17)
    used = np.bincount(rows, weights=lengths) if lengths else np.zeros(0)
    assert (used <= 17).all()
    assert len(used) == _reference_best_fit(lengths, 17)
    # A row is opened only if no other has space, so no two rows fit into one.
    assert len(used) < 2 or np.sort(used)[:2].sum() > 17


@given(st.lists(st.integers(1, 10), min_size=1, max_size=7))
def test_row_count_is_within_the_known_bound(lengths: list[int]) -> None:
    """First- and best-fit-decreasing use at most 11/9 of the optimum + 6/9 rows (Dósa 2007)."""

    @cache
    def optimum(rest: tuple[int, ...], space: int) -> int:
        if not rest:
            return 0
        choices = []
        for index, length in enumerate(rest):
            others = rest[:index] + rest[index + 1 :]
            fits = length <= space
            choices.append(optimum(others, space - length) if fits else 1 + optimum(others, 10 - length))
        return min(choices)

    best = optimum(tuple(sorted(lengths)), 0)
    assert best <= best_fit_decreasing(np.array(lengths), 10).max() + 1 <= 11 / 9 * best + 6 / 9


def test_consecutive_rows_are_a_representative_sample() -> None:
    """Best-fit-decreasing alone would put long documents first."""
    lengths = np.random.default_rng(2).integers(5, 100, 250)
    rows = pack(_documents(lengths.tolist()), _header(100))
    longest = np.maximum.reduceat(rows.spans.length, rows.spans.bounds[:-1])
    half = len(longest) // 2
    assert abs(longest[:half].mean() - longest[half:].mean()) < 15


def test_split_follows_cluster_hash_and_share() -> None:
    drawn = [split_of(f"{number:032x}", 0.25) for number in range(2000)]
    assert 420 < drawn.count("validation") < 580
    assert {split_of(f"{number:032x}", 0.0) for number in range(100)} == {"train"}
    wider = [split_of(f"{number:032x}", 0.5) for number in range(2000)]
    assert all(b == "validation" for a, b in zip(drawn, wider, strict=True) if a == "validation")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train(
        ["one two three four five six seven eight nine ten " * 3], TokenizerConfig(vocabulary_size=300)
    )


def test_tokenize_adds_bos_and_eos(tokenizer: Tokenizer) -> None:
    texts = ["one two", "", "drei"]
    ids = [f"{number:032x}" for number in range(3)]
    batch = pa.record_batch(
        {
            "id": ids,
            "text": texts,
            "source": ["s"] * 3,
            "language": ["en", None, "de"],
            "cluster": ids,
            "cluster_size": [1, 2, 3],
        }
    )
    rows = tokenize(batch, tokenizer, 0.5)
    assert rows.schema == tokenized_schema()
    for row, text, document_id in zip(rows.to_pylist(), texts, ids, strict=True):
        tokens = np.frombuffer(row["tokens"], np.uint16).tolist()
        assert tokens == [tokenizer.bos, *tokenizer.encode(text), tokenizer.eos]
        assert row["token_count"] == len(tokens)
        assert row["document_id"].hex() == document_id
        assert row["split"] == split_of(document_id, 0.5)


@pytest.mark.parametrize(
    ("size", "times"),
    [(1, 1), (2, 2), (3, 3), (4, 3), (5, 5), (99, 5), (100, 8), (999, 8), (1000, 1), (10**6, 1)],
)
def test_repetitions_are_those_of_fineweb_2(size: int, times: int) -> None:
    assert repetitions(size) == times


def test_documents_are_repeated_for_training_only(tokenizer: Tokenizer) -> None:
    ids = [f"{number:032x}" for number in range(40)]
    sizes = [1, 2, 4, 50] * 10
    columns = {
        "id": ids,
        "text": ["one two"] * 40,
        "source": ["s"] * 40,
        "language": ["en"] * 40,
        "cluster": ids,
        "cluster_size": sizes,
    }
    rows = tokenize(pa.record_batch(columns), tokenizer, 0.3, rehydrate=True).to_pylist()
    splits = {document_id: split_of(document_id, 0.3) for document_id in ids}
    assert len(set(splits.values())) == 2
    for document_id, size in zip(ids, sizes, strict=True):
        copies = [row for row in rows if row["document_id"].hex() == document_id]
        assert len(copies) == (repetitions(size) if splits[document_id] == "train" else 1)
        assert [row["copy"] for row in copies] == list(range(len(copies)))
        assert len({row["order"] for row in copies}) == len(copies)  # far apart from each other


@given(lengths_and_size)
def test_copies_are_packed_as_documents_of_their_own(case: tuple[list[int], int]) -> None:
    lengths, size = case
    documents = _documents(lengths)
    copied = pack([each._replace(copy=copy) for each in documents for copy in range(3)], _header(size))
    once = pack(documents, _header(size))
    assert copied.spans.length.sum() == 3 * once.spans.length.sum()
    counts = {each: 0 for each, _, _ in documents}
    for document_id, offset in zip(copied.spans.document_id, copied.spans.offset, strict=True):
        counts[document_id.tobytes()] += offset == 0
    assert set(counts.values()) <= {3}
