"""Fine-tuning examples: conversations, tokenized by the chat template and packed into rows.

A hash of its content assigns an example to training or validation. Examples are never split across rows; they
are packed by best fit, as documents are in :mod:`core.shards.packing`.
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
from core.tokenizer.chat import ChatTemplate
from train.data.dataset import PackedRows
from train.data.permutation import Int64Array
from train.data.records import ExampleFile, RecordReader, Row, source_name

SHOWN_PROBLEMS = 3
DROP_REASONS = ("too long", "without anything to learn")


@dataclass(frozen=True, slots=True)
class Example:
    """A tokenized conversation."""

    key: str
    """Hash of the content, hexadecimal."""
    tokens: npt.NDArray[np.uint32]
    """``[length]``."""
    loss_mask: npt.NDArray[np.bool_]
    """``[length]``: True for tokens to learn."""


class ExampleDataset:
    """Packed examples in memory, a :class:`train.data.dataset.PackedDataset`; 9 bytes per token."""

    def __init__(
        self,
        packed: Mapping[tuple[SplitName, str], PackedRows],
        sequence_length: int,
        pad: int,
        counts: Mapping[str, int],
    ) -> None:
        self._packed = packed
        self.sequence_length = sequence_length
        self.pad = pad
        self.counts = counts
        """Number of examples by split, and by reason for dropped and truncated ones."""
        self.sources = tuple(sorted({source for _, source in packed}))
        self.sha256 = _hash(packed)

    def num_rows(self, split: SplitName, source: str) -> int:
        """Return the number of rows."""
        rows = self._packed.get((split, source))
        return len(rows.tokens) if rows else 0

    def read(self, split: SplitName, source: str, indices: Int64Array) -> PackedRows:
        """Return the rows at ``indices``, in that order."""
        rows = self._packed[split, source]
        assert rows.loss_mask is not None
        return PackedRows(rows.tokens[indices], rows.document_ids[indices], rows.loss_mask[indices])


def load_examples(config: FinetuneConfig, chat: ChatTemplate, pad: int) -> ExampleDataset:
    """Read, tokenize and pack all examples of ``config``; ``pad`` is the padding token.

    The result does not depend on the order of records. Raises :class:`InputError` if records are not
    conversations, with their number and the first of them, and if no training examples remain.
    """
    loader = _Loader(config, chat)
    found: dict[tuple[SplitName, str], list[Example]] = {}
    validation_share = 0.0 if config.validation_files else config.validation_share
    for share, files in ((validation_share, config.files), (1.0, config.validation_files)):
        for file in files:
            for example in loader.usable_examples(file):
                split = split_of(example.key, share)
                loader.counts[split] += 1
                found.setdefault((split, source_name(file)), []).append(example)
    if loader.problems:
        raise InputError(_summarize(loader.problems))
    if not loader.counts["train"]:
        raise InputError(_no_training_examples(config, loader.counts))
    packed = {key: pack_examples(examples, config.sequence_length, pad) for key, examples in found.items()}
    return ExampleDataset(packed, config.sequence_length, pad, dict(loader.counts))


def pack_examples(examples: Sequence[Example], sequence_length: int, pad: int) -> PackedRows:
    """Pack examples of at most ``sequence_length`` + 1 tokens into rows, independent of their order."""
    ordered = sorted(examples, key=lambda example: example.key)
    lengths = np.array([len(example.tokens) for example in ordered], np.int64)
    rows = best_fit_decreasing(lengths, sequence_length + 1)
    shape = (int(rows.max()) + 1, sequence_length + 1)
    tokens = np.full(shape, pad, np.uint32)
    document_ids = np.full(shape, -1, np.int32)
    loss_mask = np.zeros(shape, np.bool_)
    ends, counts = np.zeros(len(tokens), np.int64), np.zeros(len(tokens), np.int32)
    for example, row in zip(ordered, rows.tolist(), strict=True):
        span = slice(ends[row], ends[row] + len(example.tokens))
        tokens[row, span] = example.tokens
        document_ids[row, span] = counts[row]
        loss_mask[row, span] = example.loss_mask
        ends[row] = span.stop
        counts[row] += 1
    return PackedRows(tokens, document_ids, loss_mask)


class _Loader:
    """Tokenizes the records of files and counts what becomes of them."""

    def __init__(self, config: FinetuneConfig, chat: ChatTemplate) -> None:
        self._config, self._chat = config, chat
        self._reader = RecordReader(config)
        self.counts: Counter[str] = Counter()
        self.problems: list[InputError] = []
        """Errors of the records that are not conversations."""

    def usable_examples(self, file: ExampleFile) -> Iterator[Example]:
        """Yield the usable examples of a file; count the dropped and truncated ones."""
        max_length = self._config.sequence_length + 1
        for row in self._reader.rows(file):
            for example in self._tokenize(row):
                if len(example.tokens) > max_length and self._config.too_long == "truncate":
                    self.counts["truncated"] += 1
                    tokens, loss_mask = example.tokens[:max_length], example.loss_mask[:max_length]
                    example = Example(example.key, tokens, loss_mask)
                if len(example.tokens) > max_length:
                    self.counts["too long"] += 1
                elif not example.loss_mask[1:].any():
                    self.counts["without anything to learn"] += 1
                else:
                    yield example

    def _tokenize(self, row: Row) -> list[Example]:
        """Return the examples of a record, which have one key and thus are in the same split."""
        try:
            messages = self._reader.conversation(row)
        except InputError as error:
            self.problems.append(error)
            return []
        try:
            found = self._chat.examples(messages)
        except InputError as error:
            self.problems.append(InputError(f"{row.location}: {error}"))
            return []
        content = canonical([[message.role, message.content] for message in messages])
        key = hashlib.sha256(content).hexdigest()
        learn_all = self._config.learn == "all"
        return [
            Example(key, np.array(ids, np.uint32), np.array(learn, np.bool_) | learn_all)
            for ids, learn in found
        ]


def _summarize(problems: Sequence[InputError]) -> str:
    """Return the error message for records that are not conversations."""
    shown = " · ".join(map(str, problems[:SHOWN_PROBLEMS]))
    others = len(problems) - SHOWN_PROBLEMS
    return f"{shown} · {others:,} more records cannot be used" if others > 0 else shown


def _no_training_examples(config: FinetuneConfig, counts: Mapping[str, int]) -> str:
    """Return the error message for a dataset without training examples."""
    found = [f"{counts[reason]:,} {reason}" for reason in DROP_REASONS if counts.get(reason)]
    if counts.get("validation"):
        found.append(f"{counts['validation']:,} for validation")
    return (
        f"finetune.files: no training examples ({', '.join(found) or 'no examples'}; "
        f"finetune.sequence_length is {config.sequence_length}): must have conversations with an assistant "
        "message that fit into a row; use other files, longer rows or a smaller finetune.validation_share"
    )


def _hash(packed: Mapping[tuple[SplitName, str], PackedRows]) -> str:
    digest = hashlib.sha256()
    for (split, source), rows in sorted(packed.items(), key=lambda item: item[0]):
        assert rows.loss_mask is not None
        digest.update(canonical([split, source, list(rows.tokens.shape)]))
        for column in (rows.tokens.astype("<u4"), rows.document_ids.astype("<i4"), rows.loss_mask):
            digest.update(column.tobytes())
    return digest.hexdigest()
