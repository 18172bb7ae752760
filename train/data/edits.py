"""Edits of the training order: rows and documents that are left out from a step on.

The tokens that an edit removes become padding where they are. The order of the rows and its inverse stay as
they are, and so does everything at all other positions.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from core import storage
from core.config import EditConfig
from core.errors import ConfigError, InputError
from core.manifest import canonical
from core.messages import nearest
from core.shards import Shards
from core.shards.documents import DocumentSpan, find_documents, resolve, unknown
from train.data.batch_sizes import BatchSizes
from train.data.permutation import Int64Array

Listed = tuple[str, str]
"""A document's id or URL in an edit: where it is written, and the name."""


class RemovedTokens(NamedTuple):
    """Tokens ``start:stop`` of some rows, by the rows' places among those that are read; int64[n] each."""

    row: Int64Array
    start: Int64Array
    stop: Int64Array


@dataclass(frozen=True, slots=True)
class TokenRanges:
    """Tokens of a source: for each of n ranges, the tokens ``start:stop`` of the rows ``first:past``.

    All arrays are int64[n]; ``first`` and ``past`` ascend.
    """

    first: Int64Array
    past: Int64Array
    start: Int64Array
    stop: Int64Array

    def find(self, rows: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return all pairs of an index into ``rows`` and a range in that row, in O(len(rows) · log n)."""
        low, high = self.past.searchsorted(rows, "right"), self.first.searchsorted(rows, "right")
        counts = high - low
        index = np.repeat(np.arange(len(rows)), counts)
        return index, np.arange(len(index)) + np.repeat(low - np.cumsum(counts) + counts, counts)


@dataclass(frozen=True, slots=True)
class Edit:
    """Tokens that are removed from a position on."""

    from_step: int
    from_position: int
    """Position of the first row of that step."""
    content: str
    """What is removed, for messages."""
    removed: Mapping[str, TokenRanges]
    """By source."""
    sha256: str = field(init=False)
    """Hash of the position and of what is removed."""

    def __post_init__(self) -> None:
        digest = hashlib.sha256(canonical(self.from_position))
        for source, ranges in sorted(self.removed.items()):
            digest.update(canonical([source, len(ranges.first)]))
            for column in (ranges.first, ranges.past, ranges.start, ranges.stop):
                digest.update(column.astype("<i8").tobytes())
        object.__setattr__(self, "sha256", digest.hexdigest())

    @property
    def record(self) -> dict[str, Any]:
        """Entry of the edit in checkpoints and manifests, as JSON values."""
        return {"from_step": self.from_step, "content": self.content, "sha256": self.sha256}

    def removes(self, span: DocumentSpan) -> bool:
        """True if the tokens of a span are removed from the edit's position on."""
        if span.source not in self.removed:
            return False
        ranges = self.removed[span.source]
        _, found = ranges.find(np.array([span.row]))
        return bool(((ranges.start[found] <= span.start) & (span.start < ranges.stop[found])).any())


def resolve_edits(
    edits: Sequence[EditConfig], shards: Shards, run: str, batch_sizes: BatchSizes
) -> tuple[Edit, ...]:
    """Look up the rows and tokens of ``[[train.edits]]``.

    ``run`` is the folder whose ``documents/`` has the URLs. Reads the spans of all shards if there are
    documents to find; nothing is read for edits of files. Raises :class:`ConfigError` for rows and documents
    that are not in the training split.
    """
    listed = [list(_listed_documents(number, edit)) for number, edit in enumerate(edits)]
    spans = _find_spans(shards, run, [each for part in listed for each in part])
    resolved = []
    for number, (edit, names) in enumerate(zip(edits, listed, strict=True)):
        if edit.file:
            content, removed = _rows_of_file(number, edit, shards)
        else:
            found = {span for _, name in names for span in spans[name]}
            content, removed = _documents(len({span.document for span in found}), found)
        resolved.append(Edit(edit.from_step, batch_sizes.first_position(edit.from_step), content, removed))
    return tuple(sorted(resolved, key=lambda each: (each.from_step, each.sha256)))


def check_files(edits: Sequence[EditConfig], shards: Shards) -> None:
    """Raise :class:`ConfigError` for a file or rows that are not in the training split."""
    for number, edit in enumerate(edits):
        if edit.file:
            _rows_of_file(number, edit, shards)


def check_resumed(recorded: Sequence[Mapping[str, Any]], edits: Sequence[Edit], step: int) -> None:
    """Compare the edits that began by ``step`` with those that the checkpoint of that step recorded.

    Raises :class:`ConfigError` for one that was added, changed or removed.
    """
    before = {each["sha256"]: each for each in recorded if each["from_step"] <= step}
    now = {each.sha256: each for each in edits if each.from_step <= step}
    for sha256, edit in now.items():
        if sha256 not in before:
            raise ConfigError(
                f"train.edits: {edit.content}, from step {edit.from_step}: the run was trained to step "
                f"{step} without this edit; set from_step = {step + 1} or later, or train again in another "
                "output.path or with --set output.overwrite=true"
            )
    for sha256, record in before.items():
        if sha256 not in now:
            raise ConfigError(
                f"train.edits: {record['content']}, from step {record['from_step']}: the run was trained to "
                f"step {step} with this edit, which is missing or changed; restore it, or train again in "
                "another output.path or with --set output.overwrite=true"
            )


def _listed_documents(number: int, edit: EditConfig) -> Iterator[Listed]:
    """Yield the documents that an edit lists."""
    for index, name in enumerate(edit.documents):
        yield f"train.edits[{number}].documents[{index}]", name
    if not edit.documents_file:
        return
    try:
        text = storage.read_bytes(edit.documents_file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{edit.documents_file}: not UTF-8 ({error}); save it as UTF-8") from None
    lines = [(line, name.strip()) for line, name in enumerate(text.splitlines(), 1)]
    names = [(line, name) for line, name in lines if name and not name.startswith("#")]
    if not names:
        raise InputError(f"{edit.documents_file}: lists no documents; write an id or a URL on each line")
    for line, name in names:
        yield f"{edit.documents_file}, line {line}", name


def _find_spans(shards: Shards, run: str, listed: Sequence[Listed]) -> dict[str, list[DocumentSpan]]:
    """Return the spans in the training split of each listed name."""
    if not listed:
        return {}
    ids = resolve(run, [name for _, name in listed])
    spans: dict[str, list[DocumentSpan]] = {}
    for span in find_documents(shards, {each for part in ids.values() for each in part}):
        spans.setdefault(span.document, []).append(span)
    found = {name: [span for each in part for span in spans.get(each, [])] for name, part in ids.items()}
    trained = {name: [span for span in part if span.split == "train"] for name, part in found.items()}
    wrong = [(where, name) for where, name in listed if not trained[name]]
    if wrong:
        where, name = wrong[0]
        problem = unknown(run, name)
        if found[name]:
            problem = f"{name!r}: only in validation rows, which are not trained on; remove it from the edit"
        elif ids[name]:
            problem = f"{name!r}: no row of {shards.folder} holds this document; remove it from the edit"
        more = f" · {len(wrong) - 1:,} more cannot be used" if len(wrong) > 1 else ""
        raise ConfigError(f"{where}: {problem}{more}")
    return trained


def _documents(number: int, spans: Iterable[DocumentSpan]) -> tuple[str, dict[str, TokenRanges]]:
    """Return a description and the token ranges of the spans of some documents."""
    ordered = sorted(spans, key=lambda span: (span.source, span.row, span.start))
    removed = {}
    for source, part in groupby(ordered, key=lambda span: span.source):
        table = np.array([(span.row, span.row + 1, span.start, span.start + span.length) for span in part])
        removed[source] = TokenRanges(*np.ascontiguousarray(table.T))
    rows = len({(span.source, span.row) for span in ordered})
    return f"{_count(number, 'document')} in {_count(rows, 'row')}", removed


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def _rows_of_file(number: int, edit: EditConfig, shards: Shards) -> tuple[str, dict[str, TokenRanges]]:
    """Return a description and the token ranges of rows of a shard file."""
    key, starts = f"train.edits[{number}]", dict(_files(shards))
    if edit.file not in starts:
        raise ConfigError(
            f"{key}.file = {edit.file!r}: not a file of the training split of {shards.folder}; the nearest "
            f"is {nearest(edit.file, starts)!r}"
        )
    source, first, count = starts[edit.file]
    begin, end = edit.rows or (0, count - 1)
    if end >= count:
        raise ConfigError(
            f"{key}.rows = {list(edit.rows)}: {edit.file} has the rows 0 to {count - 1}; give rows within it"
        )
    bounds = (first + begin, first + end + 1, 0, shards.facts.sequence_length + 1)
    content = f"rows {begin:,} to {end:,} of {edit.file}"
    return content, {source: TokenRanges(*(np.array([bound], np.int64) for bound in bounds))}


def _files(shards: Shards) -> Iterator[tuple[str, tuple[str, int, int]]]:
    """Yield each file of the training split with its source, its first row in the source and its rows."""
    for split, source in shards.groups:
        first = 0
        for entry in shards.files(split, source) if split == "train" else ():
            yield entry.path, (source, first, entry.rows)
            first += entry.rows
