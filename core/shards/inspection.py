"""Look into a set of shards: its totals, the text of a row, differences of two sets.

Only the blocks that hold what is shown are read.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from core.errors import InputError
from core.manifest import FileEntry
from core.shards.format import Rows, SplitName, Totals
from core.shards.reader import Shards, check_tokenizer
from core.tokenizer import Tokenizer, load_published

SHOWN = 300
"""Characters of each document's text that are shown unless all are wanted."""
_HEADER = ("sequence_length", "token_type", "vocabulary_size", "packing", "tokenizer_sha256", "corpus")


def summary(shards: Shards) -> Iterator[str]:
    """Yield what all rows have in common, and the totals of each split and source as a table."""
    facts = shards.facts.model_dump()
    yield from (f"{name:17} {facts[name]}" for name in _HEADER)
    yield f"{'manifest':17} {shards.manifest.sha256()}"
    yield f"{'split/source':32} {'files':>7} {'rows':>12} {'tokens':>15} {'documents':>12} {'padding':>8}"
    for split, source in shards.groups:
        totals, number = shards.facts.sources[split][source], len(shards.files(split, source))
        yield _totals(f"{split}/{source}", number, totals, shards.facts.sequence_length + 1)
    files = shards.facts.files
    yield _totals("all", len(files), sum(files.values(), Totals()), shards.facts.sequence_length + 1)


def _totals(title: str, files: int, totals: Totals, row_length: int) -> str:
    positions = totals.rows * row_length
    padding = 1 - totals.tokens / positions if positions else 0.0
    return (
        f"{title:32} {files:7,} {totals.rows:12,} {totals.tokens:15,} {totals.documents:12,} {padding:8.3%}"
    )


def read_row(shards: Shards, split: SplitName, source: str, row: int) -> tuple[Rows, str]:
    """Return a row, and its number and file as text. Raises :class:`InputError` for a row out of range."""
    entries = shards.files(split, source)
    ends = np.cumsum([0, *(entry.rows for entry in entries)]).tolist()
    for entry, (first, past) in zip(entries, pairwise(ends), strict=True):
        if first <= row < past:
            found = Rows(*shards.read(split, source, np.array([row])))
            return found, f"{split}/{source} row {row:,} (row {row - first:,} of {entry.path})"
    counts = (f"{'/'.join(group)} {shards.rows(*group):,}" for group in shards.groups)
    raise InputError(f"{split}/{source} row {row}: not in the shards, whose rows are {', '.join(counts)}")


def describe_row(
    row: Rows,
    title: str,
    tokenizer: Tokenizer | None = None,
    urls: Mapping[str, str] | None = None,
    *,
    whole: bool = False,
) -> Iterator[str]:
    """Yield the documents of a row: id, positions in the row and in the document, URL, and text.

    ``row`` and ``title``: from :func:`read_row`. ``tokenizer`` decodes the tokens, which are shown as numbers
    without it. ``urls``: by document id.
    """
    spans, (tokens,) = row.spans, row.tokens
    padding = len(tokens) - int(spans.length.sum())
    number = f"{len(spans.start)} document{'s' if len(spans.start) > 1 else ''}"
    yield f"{title}: {number}, {padding:,} tokens of padding"
    for index, identifier in enumerate(document_ids(row)):
        start, length, offset = (int(column[index]) for column in (spans.start, spans.length, spans.offset))
        yield (
            f"\n{identifier}  tokens {start:,} to {start + length - 1:,} of the row, "
            f"{offset:,} to {offset + length - 1:,} of the document"
        )
        if urls and (url := urls.get(identifier)):
            yield url
        numbers = tokens[start : start + length].tolist()
        text = tokenizer.decode(numbers) if tokenizer else " ".join(map(str, numbers))
        yield text if whole or len(text) <= SHOWN else f"{text[:SHOWN]} …"


def document_ids(rows: Rows) -> list[str]:
    """Return the id of each span's document."""
    return [each.tobytes().hex() for each in rows.spans.document_id]


def differences(one: Shards, other: Shards) -> Iterator[str]:
    """Yield a line for each difference between the headers and the files of two sets, by their manifests."""
    facts, others = one.facts.model_dump(), other.facts.model_dump()
    for name in (*_HEADER, "bos", "eos", "pad"):
        if facts[name] != others[name]:
            yield f"{name}: {facts[name]} | {others[name]}"
    files, others_files = ({entry.path: entry for entry in each.manifest.files} for each in (one, other))
    for path in sorted(files.keys() | others_files.keys()):
        left, right = files.get(path), others_files.get(path)
        if left is None or right is None:
            yield f"{path}: only in {(one if left else other).folder}"
        elif left.sha256 != right.sha256:
            yield f"{path}: {_size(left)} | {_size(right)}"


def _size(entry: FileEntry) -> str:
    return f"{entry.rows:,} rows, {entry.size:,} bytes, sha256 {entry.sha256[:12]}…"


def load_tokenizer(shards: Shards, folder: str) -> Tokenizer:
    """Load the tokenizer in a folder. Raises :class:`MismatchError` if it is not the one of the shards."""
    tokenizer = load_published(folder)
    check_tokenizer(shards, tokenizer)
    return tokenizer
