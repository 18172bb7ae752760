"""Conversations as packed rows: what a fine-tuning learns from.

Each conversation becomes tokens by the model's chat template, is validated on or learned from as a hash of
its content says, and is laid whole, with others, into a row (best fit, as in :mod:`core.shards.packing`).
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.config import FinetuneConfig
from core.errors import InputError
from core.manifest import canonical
from core.shards import SplitName
from core.shards.packing import best_fit_decreasing, split_of
from core.tokenizer.chat import Chat, Message
from train.permutation import Integers
from train.records import Entry, Reader, source_of
from train.rows import Read

REASONS = ("too long", "without anything to learn")
"""Why an example is dropped."""


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation as tokens."""

    key: str
    """Hash of its content, hexadecimal."""
    tokens: npt.NDArray[np.uint32]
    learn: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Packed:
    """All rows of one split and source, each of t+1 tokens."""

    tokens: npt.NDArray[np.uint32]
    pieces: npt.NDArray[np.int32]
    """The number of the example in its row; -1 for padding."""
    learn: npt.NDArray[np.bool_]


class Examples:
    """Packed rows (:class:`train.rows.PackedRows`) that are held in memory: 9 bytes a token."""

    def __init__(
        self, packed: Mapping[tuple[SplitName, str], Packed], sequence_length: int, counts: Mapping[str, int]
    ) -> None:
        self._packed = packed
        self.sequence_length = sequence_length
        self.counts = counts
        """Examples by what became of them."""
        self.sources = tuple(sorted({source for _, source in packed}))
        self.sha256 = _hash(packed)

    def rows(self, split: SplitName, source: str) -> int:
        """Number of rows."""
        found = self._packed.get((split, source))
        return len(found.tokens) if found else 0

    def read(self, split: SplitName, source: str, indices: Integers) -> Read:
        """The rows asked for, in that order."""
        found = self._packed[split, source]
        return Read(found.tokens[indices], found.pieces[indices].astype(np.int64), found.learn[indices])


def collect(settings: FinetuneConfig, chat: Chat, pad: int) -> Examples:
    """Read, encode and pack all examples that ``settings`` names.

    The result does not depend on the order of the records. Raises :class:`InputError` for a record that is no
    conversation, and if nothing is left to learn from.
    """
    counts: Counter[str] = Counter()
    found: dict[tuple[SplitName, str], list[Example]] = {}
    reader = Reader(settings)
    held_out = 0.0 if settings.validation_files else settings.validation_share
    for share, entries in ((held_out, settings.files), (1.0, settings.validation_files)):
        for entry in entries:
            for example in _examples(entry, reader, chat, settings, counts):
                split = split_of(example.key, share)
                counts[split] += 1
                found.setdefault((split, source_of(entry)), []).append(example)
    if not counts["train"]:
        raise InputError(_nothing(settings, counts))
    packed = {where: pack(examples, settings.sequence_length, pad) for where, examples in found.items()}
    return Examples(packed, settings.sequence_length, dict(counts))


def pack(examples: Sequence[Example], sequence_length: int, pad: int) -> Packed:
    """Lay examples, none longer, into rows of ``sequence_length`` + 1 tokens; their order is all one."""
    ordered = sorted(examples, key=lambda example: example.key)
    lengths = np.array([len(example.tokens) for example in ordered], np.int64)
    places = best_fit_decreasing(lengths, sequence_length + 1)
    shape = (int(places.max()) + 1, sequence_length + 1)
    packed = Packed(np.full(shape, pad, np.uint32), np.full(shape, -1, np.int32), np.zeros(shape, np.bool_))
    filled = np.zeros((len(packed.tokens), 2), np.int32)
    for example, row in zip(ordered, places.tolist(), strict=True):
        start, number = filled[row].tolist()
        end = start + len(example.tokens)
        packed.tokens[row, start:end] = example.tokens
        packed.pieces[row, start:end] = number
        packed.learn[row, start:end] = example.learn
        filled[row] = end, number + 1
    return packed


def _examples(
    entry: Entry, reader: Reader, chat: Chat, settings: FinetuneConfig, counts: Counter[str]
) -> Iterator[Example]:
    """The examples of an entry that are of use; the others are counted."""
    longest = settings.sequence_length + 1
    for place, messages in reader.read(entry):
        example = _encode(place, messages, chat, everything=settings.learn == "all")
        if len(example.tokens) > longest and settings.too_long == "truncate":
            counts["truncated"] += 1
            example = Example(example.key, example.tokens[:longest], example.learn[:longest])
        if len(example.tokens) > longest:
            counts["too long"] += 1
        elif not example.learn[1:].any():
            counts["without anything to learn"] += 1
        else:
            yield example


def _encode(place: str, messages: Sequence[Message], chat: Chat, *, everything: bool) -> Example:
    try:
        ids, learn = chat.example(messages)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    content = canonical([[message.role, message.content] for message in messages])
    return Example(
        hashlib.sha256(content).hexdigest(), np.array(ids, np.uint32), np.array(learn, np.bool_) | everything
    )


def _nothing(settings: FinetuneConfig, counts: Mapping[str, int]) -> str:
    """Why there is nothing to learn from."""
    told = [f"{counts[reason]:,} {reason}" for reason in REASONS if counts.get(reason)]
    if counts.get("validation"):
        told.append(f"{counts['validation']:,} held out")
    return (
        f"finetune.files: nothing to train on ({', '.join(told) or 'no examples'}; finetune.sequence_length "
        f"is {settings.sequence_length}): there must be conversations with an answer that fit into a row; "
        "give others, longer rows or a smaller finetune.validation_share"
    )


def _hash(packed: Mapping[tuple[SplitName, str], Packed]) -> str:
    digest = hashlib.sha256()
    for (split, source), rows in sorted(packed.items()):
        digest.update(canonical([split, source, list(rows.tokens.shape)]))
        for part in (rows.tokens.astype("<u4"), rows.pieces.astype("<i4"), rows.learn):
            digest.update(part.tobytes())
    return digest.hexdigest()
