"""Edits remove what they name, from their step on, and nothing else."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config import EditConfig
from core.errors import ConfigError, GristmillError
from core.shards import Shards
from core.shards.documents import DocumentSpan, find_documents
from tests.train.data.numbered import PAD, ROW_LENGTH, NumberedRows, read_step
from train.data.batch_sizes import BatchSizes
from train.data.dataset import PackedRows, ShardDataset, read_stream
from train.data.edits import Edit, TokenRanges, check_resumed, resolve_edits
from train.data.stream import Stream

BATCH_SIZE = 12
STEPS = 20
POSITIONS = np.arange(STEPS * BATCH_SIZE, dtype=np.int64)
WEIGHTS = st.dictionaries(st.sampled_from("ab"), st.floats(0.1, 10), min_size=1)
NUM_ROWS = {"a": 17, "b": 30}


class Removal(NamedTuple):
    """One range of an edit, as plain numbers."""

    source: str
    first: int
    past: int
    start: int
    stop: int

    def covers(self, source: str, row: int, column: int) -> bool:
        return source == self.source and self.first <= row < self.past and self.start <= column < self.stop


@st.composite
def removals(draw: st.DrawFn) -> list[Removal]:
    """Draw either the rows of a file, or token ranges of single rows."""
    source = draw(st.sampled_from("ab"))
    if draw(st.booleans()):
        first, last = sorted(draw(st.tuples(*[st.integers(0, NUM_ROWS[source] - 1)] * 2)))
        return [Removal(source, first, last + 1, 0, ROW_LENGTH)]
    rows = draw(st.lists(st.integers(0, NUM_ROWS[source] - 1), min_size=1, max_size=12))
    starts = [draw(st.integers(0, ROW_LENGTH - 1)) for _ in rows]
    return sorted(
        Removal(source, row, row + 1, start, start + 2) for row, start in zip(rows, starts, strict=True)
    )


Plan = list[tuple[int, list[Removal]]]
"""Edits: the step that each begins with, and what it removes."""
Drawn = tuple[Callable[[Sequence[Edit]], Stream], Plan]
EDITS = st.lists(st.tuples(st.integers(1, STEPS), removals()), max_size=5)


def made(edits: Plan) -> list[Edit]:
    return [
        Edit(
            step,
            (step - 1) * BATCH_SIZE,
            "some rows",
            {part[0].source: TokenRanges(*np.array([each[1:] for each in part]).T)},
        )
        for step, part in edits
    ]


@st.composite
def streams(draw: st.DrawFn) -> Drawn:
    """Draw a function that makes a stream with some edits, and edits."""
    seed, first = draw(st.integers(0, 9)), draw(WEIGHTS)
    starts = sorted(draw(st.sets(st.integers(1, STEPS * BATCH_SIZE), max_size=3)))
    later = [(start, draw(WEIGHTS)) for start in starts]
    return lambda edits: Stream("numbered", seed, NUM_ROWS, first, later, edits), draw(EDITS)


@given(streams())
def test_edits_change_neither_the_order_nor_its_inverse(drawn: Drawn) -> None:
    stream_with, edits = drawn
    plain, edited = stream_with([]), stream_with(made(edits))
    located, again = plain.locate(POSITIONS), edited.locate(POSITIONS)
    assert plain.sources == edited.sources
    assert np.array_equal(located.sources, again.sources) and np.array_equal(located.indices, again.indices)
    rows = list(zip(again.sources.tolist(), again.indices.tolist(), strict=True))
    for source, row in set(rows):
        expected = [position for position, each in enumerate(rows) if each == (source, row)]
        assert edited.positions(edited.sources[source], row, before=len(POSITIONS)) == expected


@given(streams())
def test_only_what_an_edit_names_is_removed_from_its_position_on(drawn: Drawn) -> None:
    stream_with, edits = drawn
    dataset, edited = NumberedRows(NUM_ROWS), stream_with(made(edits))
    plain, _ = read_step(dataset, stream_with([]), POSITIONS)
    packed, num_tokens = read_step(dataset, edited, POSITIONS)
    located = edited.locate(POSITIONS)
    for position in POSITIONS.tolist():
        source, row = edited.sources[located.sources[position]], int(located.indices[position])
        effective = [each for step, part in edits if (step - 1) * BATCH_SIZE <= position for each in part]
        for column in range(ROW_LENGTH):
            gone = any(each.covers(source, row, column) for each in effective)
            token, document = packed.tokens[position, column], packed.document_ids[position, column]
            assert token == (PAD if gone else plain.tokens[position, column])
            assert document == (-1 if gone else plain.document_ids[position, column])
    for number in range(len(edited.sources)):
        assert num_tokens[number] == (packed.document_ids[located.sources == number] >= 0).sum()


@given(streams(), st.data())
def test_no_token_is_lost_or_repeated_at_changing_world_sizes(drawn: Drawn, data: st.DataObject) -> None:
    """Runs are resumed at random steps with other numbers of processes and more edits, from there on."""
    stream_with, edits = drawn
    dataset, whole = NumberedRows(NUM_ROWS), stream_with(made(edits))
    expected, expected_counts = read_step(dataset, whole, POSITIONS)
    resumed_at = [0, *sorted(data.draw(st.sets(st.integers(1, STEPS - 1), max_size=3))), STEPS]
    tokens, counts = [], np.zeros(len(whole.sources), np.int64)
    for done, end in pairwise(resumed_at):
        # Edits that begin after the next resume may not be known yet.
        known = [each for each in edits if each[0] <= end or data.draw(st.booleans())]
        check_resumed([each.record for each in made(edits)], made(known), done)
        stream, size = stream_with(made(known)), data.draw(st.sampled_from([1, 2, 3, 4, 6, 12]))
        at_once = data.draw(st.integers(1, 5))
        for first in range(done + 1, end + 1, at_once):
            steps = range(first, min(first + at_once, end + 1))
            parts: dict[tuple[int, int], PackedRows] = {}
            for rank in range(size):
                places = [BatchSizes(BATCH_SIZE).positions(step, rank, size) for step in steps]
                for step, (part, sources) in zip(steps, read_stream(dataset, stream, places), strict=True):
                    parts[step, rank] = part
                    counts += part.num_tokens(sources, len(stream.sources))
            tokens += [parts[each].tokens for each in sorted(parts)]
    assert np.array_equal(np.concatenate(tokens), expected.tokens)
    assert counts.tolist() == expected_counts.tolist()


@given(st.integers(0, 9), st.integers(1, 3), EDITS)
def test_every_token_of_an_epoch_is_trained_on_or_removed_by_an_edit(
    seed: int, epochs: int, edits: Plan
) -> None:
    dataset, count = NumberedRows({"a": 17}), NUM_ROWS["a"]
    stream = Stream(
        "numbered", seed, {"a": count}, {}, (), made([each for each in edits if each[1][0].source == "a"])
    )
    positions = np.arange(epochs * count)
    packed, (seen,) = read_step(dataset, stream, positions)
    mask = np.zeros(packed.tokens.shape, bool)
    for row, start, stop in zip(*stream.removed(positions, stream.locate(positions)), strict=True):
        mask[row, start:stop] = True
    plain, _ = read_step(dataset, Stream("numbered", seed, {"a": count}, {}), positions)
    everything = dataset.read("train", "a", np.arange(count))
    expected = Counter(everything.tokens[everything.document_ids >= 0].tolist() * epochs)
    removed = Counter(plain.tokens[mask & (plain.document_ids >= 0)].tolist())
    assert Counter(packed.tokens[packed.document_ids >= 0].tolist()) + removed == expected
    assert seen + removed.total() == expected.total()


@given(EDITS, EDITS, st.integers(0, STEPS))
def test_edits_up_to_a_checkpoint_must_be_the_recorded_ones(one: Plan, other: Plan, step: int) -> None:
    recorded = [each.record for each in made(one)]
    same = {each.sha256 for each in made(one) if each.from_step <= step} == {
        each.sha256 for each in made(other) if each.from_step <= step
    }
    if same:
        check_resumed(recorded, made(other), step)
    else:
        with pytest.raises(ConfigError, match=rf"trained to step {step} with"):
            check_resumed(recorded, made(other), step)


def test_hash_of_the_order_includes_edits_and_schedule() -> None:
    edit = made([(3, [Removal("a", 0, 1, 0, ROW_LENGTH)])])
    moved = made([(4, [Removal("a", 0, 1, 0, ROW_LENGTH)])])
    other = made([(3, [Removal("a", 0, 2, 0, ROW_LENGTH)])])
    orders = [Stream("x", 1, NUM_ROWS, {}, (), edits) for edits in ([], edit, moved, other)]
    orders += [Stream("x", 1, NUM_ROWS, {}, [(9, {"a": 1.0})]), Stream("x", 2, NUM_ROWS, {})]
    orders += [Stream("y", 1, NUM_ROWS, {}), Stream("x", 1, NUM_ROWS, {"a": 1.0})]
    assert len({order.sha256 for order in orders}) == len(orders)
    assert orders[0].sha256 == Stream("x", 1, NUM_ROWS, {}).sha256


class Corpus(NamedTuple):
    """Shards, the run that they are in, and the spans of each of their documents."""

    run: str
    shards: Shards
    spans: dict[str, list[DocumentSpan]]


@pytest.fixture(scope="module")
def corpus(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The packed shards beside a table of documents."""
    run = tmp_path_factory.mktemp("run")
    (run / "shards").symlink_to(packed / "shards")
    shards = Shards.open(str(run / "shards"))
    ids = set()
    for group in shards.groups:
        _, spans = shards.read(*group, np.arange(shards.rows(*group)))
        ids |= {each.tobytes().hex() for each in spans.document_id}
    found: dict[str, list[DocumentSpan]] = {each: [] for each in sorted(ids)}
    for span in find_documents(shards, ids):
        found[span.document].append(span)
    urls = [f"http://a.org/{document[:8]}" for document in found]
    (run / "documents").mkdir()
    table = pa.table({"id": [*found, "0" * 32], "url": [*urls, "http://a.org/unpacked"]})
    pq.write_table(table, run / "documents" / "a.parquet")
    return Corpus(str(run), shards, found)


def of_split(corpus: Corpus, split: str) -> list[str]:
    return [document for document, spans in corpus.spans.items() if spans[0].split == split]


def test_documents_are_removed_and_no_others(corpus: Corpus, tmp_path: Path) -> None:
    one, two, three, *_ = (each for each in of_split(corpus, "train") if len(corpus.spans[each]) > 1)
    listed = tmp_path / "takedown.txt"
    listed.write_bytes(f"\ufeff# a request\r\n\r\nhttp://a.org/{two[:8]}\r\n {three.upper()} \r\n".encode())
    config = (EditConfig(documents=(one, one)), EditConfig(documents_file=str(listed)))
    edits = resolve_edits(config, corpus.shards, corpus.run, BatchSizes(BATCH_SIZE))
    assert sorted(each.content.partition(" in ")[0] for each in edits) == ["1 document", "2 documents"]
    dataset = ShardDataset(corpus.shards)
    num_rows = {source: dataset.num_rows("train", source) for source in dataset.sources}
    for source, count in num_rows.items():
        stream = Stream(dataset.sha256, 1, {source: count}, {}, (), edits)
        positions = np.arange(count)
        before, total = read_step(dataset, Stream(dataset.sha256, 1, {source: count}, {}), positions)
        after, left = read_step(dataset, stream, positions)
        rows = stream.locate(positions).indices.tolist()
        gone = np.zeros(before.tokens.shape, bool)
        for span in (span for each in (one, two, three) for span in corpus.spans[each]):
            if span.source == source:
                gone[rows.index(span.row), span.start : span.start + span.length] = True
        assert (after.document_ids[gone] == -1).all() and (after.tokens[gone] == dataset.pad).all()
        assert np.array_equal(after.document_ids[~gone], before.document_ids[~gone])
        assert np.array_equal(after.tokens[~gone], before.tokens[~gone])
        assert total - left == gone.sum() and total == corpus.shards.facts.sources["train"][source].tokens
        # Other documents have the inputs and targets that they have without the edit.
        batch, plain, kept = after.batch(), before.batch(), ~gone[:, :-1]
        for column in ("inputs", "targets", "document_ids"):
            assert np.array_equal(getattr(batch, column).numpy()[kept], getattr(plain, column).numpy()[kept])
        assert (batch.targets.numpy()[~kept] == -100).all()


def test_rows_are_counted_within_their_file(corpus: Corpus) -> None:
    first, second = corpus.shards.files("train", "books")
    config = (EditConfig(file=second.path, rows=(2, 4), from_step=3), EditConfig(file=first.path))
    whole, rows = resolve_edits(config, corpus.shards, corpus.run, BatchSizes(BATCH_SIZE))
    assert (whole.from_position, rows.from_position) == (0, 2 * BATCH_SIZE)
    stream = Stream("x", 1, {"books": first.rows + second.rows}, {}, (), (whole, rows))
    for position, expected in ((0, first.rows), (2 * BATCH_SIZE, first.rows + 3)):
        removed = [
            row
            for row in range(first.rows + second.rows)
            if any(
                edit.from_position <= position and edit.removes(DocumentSpan("", "train", "books", row, 0, 1))
                for edit in stream.edits
            )
        ]
        assert len(removed) == expected
    assert removed[-3:] == [first.rows + 2, first.rows + 3, first.rows + 4]


def test_the_order_of_edits_does_not_matter(corpus: Corpus) -> None:
    ids = of_split(corpus, "train")[:3]
    config = [EditConfig(documents=(each,), from_step=2) for each in ids]
    one, other = (
        resolve_edits(each, corpus.shards, corpus.run, BatchSizes(1)) for each in (config, config[::-1])
    )
    assert [each.sha256 for each in one] == [each.sha256 for each in other]
    (joined,) = resolve_edits([EditConfig(documents=tuple(ids))], corpus.shards, corpus.run, BatchSizes(1))
    (turned,) = resolve_edits(
        [EditConfig(documents=tuple(ids[::-1]))], corpus.shards, corpus.run, BatchSizes(1)
    )
    assert joined.sha256 == turned.sha256


def test_edits_that_match_nothing_are_refused(corpus: Corpus, tmp_path: Path) -> None:
    validation, file = of_split(corpus, "validation")[0], tmp_path / "list.txt"
    rows = corpus.shards.files("train", "books")[0].rows
    path = "train/books/part-00000.arrow"
    for content, options, message in (
        ("", {"file": "train/books/part-9.arrow"}, r"\[0\]\.file = .* nearest is 'train/books/part-0"),
        ("", {"file": "validation/books/part-00000.arrow"}, "not a file of the training split"),
        ("", {"file": path, "rows": (0, rows)}, rf"has the rows 0 to {rows - 1};"),
        ("", {"documents": ("f" * 32,)}, r"documents\[0\]: 'f+': no row of .* holds this document"),
        ("", {"documents": ("f" * 31,)}, "'f+': neither an id .32 hexadecimal digits. nor the URL"),
        ("", {"documents": ("http://a.org/unpacked",)}, "no row of .* holds this document"),
        ("", {"documents": (validation,)}, "only in validation rows"),
        (
            f"http://b.org/1\n{'e' * 32}\n",
            {},
            r"list.txt, line 1: .http://b.org/1.*pipeline.ledger .* · 1 more",
        ),
        ("# nothing\n", {}, "list.txt: lists no documents"),
        ("\xe9".encode("latin-1"), {}, "list.txt: not UTF-8"),
    ):
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        edit = EditConfig(**(options or {"documents_file": str(file)}))
        with pytest.raises(GristmillError, match=message) as caught:
            resolve_edits([edit], corpus.shards, corpus.run, BatchSizes(BATCH_SIZE))
        assert "\n" not in str(caught.value)


def test_urls_need_the_documents(packed: Path) -> None:
    shards = Shards.open(str(packed / "shards"))
    with pytest.raises(GristmillError, match="has no documents/ to look up a URL"):
        resolve_edits(
            [EditConfig(documents=("http://a.org/1",))], shards, str(packed), BatchSizes(BATCH_SIZE)
        )
