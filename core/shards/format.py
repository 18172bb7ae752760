"""Format of shard files and of their manifest.

A shard is an Arrow IPC file with one record batch, uncompressed and without nulls, so that it can be
memory-mapped and read without copying::

    tokens  fixed_size_list<uint16 | uint32>[sequence_length + 1]
    spans   list<struct<document_id: fixed_size_binary[16], start: int32, length: int32, offset: int32>>

In each span, ``length`` tokens of the row from ``start`` are tokens of the document from ``offset``. Offsets
count the document's whole sequence ``bos, text, eos``.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, cast
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

STAGE = "pack"
SplitName = Literal["train", "validation"]
SPLITS: tuple[SplitName, ...] = ("train", "validation")

SPAN = pa.struct(
    [
        pa.field("document_id", pa.binary(16), nullable=False),
        pa.field("start", pa.int32(), nullable=False),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("offset", pa.int32(), nullable=False),
    ]
)


def dtype_for(vocabulary_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the narrowest dtype for all token ids of a vocabulary."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


@functools.lru_cache(maxsize=8)
def schema(sequence_length: int, dtype: np.dtype[np.unsignedinteger]) -> pa.Schema:
    """Return the schema of a shard file."""
    token = pa.field("item", pa.from_numpy_dtype(dtype), nullable=False)
    span = pa.field("item", SPAN, nullable=False)
    return pa.schema(
        [
            pa.field("tokens", pa.list_(token, sequence_length + 1), nullable=False),
            pa.field("spans", pa.list_(span), nullable=False),
        ]
    )


def file_path(split: SplitName, source: str, part: str) -> str:
    """Return the path of a shard file below the shards' folder. The source is percent-encoded."""
    folder = re.sub(r"^[._]", lambda first: f"%{ord(first[0]):02X}", quote(source, safe=""))
    return f"{split}/{folder}/part-{part}.arrow"


def split_and_source(path: str) -> tuple[SplitName, str]:
    """Return the split and the source in the path of a shard file."""
    split, folder, _ = path.split("/")
    return cast(SplitName, split), unquote(folder)


def ranges(
    first: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the bounds of n ranges, int64[n + 1], and their numbers one after another, int64[m].

    Range i has ``counts[i]`` numbers from ``first[i]`` on.
    """
    bounds = np.zeros(len(first) + 1, np.int64)
    counts.cumsum(out=bounds[1:])
    return bounds, np.arange(bounds[-1]) + (first - bounds[:-1]).repeat(counts)


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments of n rows as flat arrays; those of row i are ``bounds[i]:bounds[i + 1]``."""

    bounds: npt.NDArray[np.int64]
    """int64[n + 1]."""
    start: npt.NDArray[np.int32]
    """int32[m]: first token in the row."""
    length: npt.NDArray[np.int32]
    """int32[m]: number of tokens."""

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Return the segments of the given rows, in that order."""
        bounds, index = ranges(self.bounds[rows], self.bounds[rows + 1] - self.bounds[rows])
        return type(self)(bounds, *(column[index] for column in self._columns()))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the segments of several groups of rows, at least one, one group after another."""
        counts = np.concatenate([np.diff(part.bounds) for part in parts])
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        columns = zip(*(part._columns() for part in parts), strict=True)
        return cls(bounds, *(np.concatenate(column) for column in columns))

    def _columns(self) -> list[npt.NDArray[Any]]:
        return [getattr(self, column.name) for column in fields(self)[1:]]


@dataclass(frozen=True, slots=True)
class Spans(Segments):
    """Segments and where they come from."""

    document_id: npt.NDArray[np.uint8]
    """uint8[m, 16]; ``document_id[k].tobytes().hex()`` is the id in the documents table."""
    offset: npt.NDArray[np.int32]
    """int32[m]: first token in the document."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed sequences; ``tokens`` is unsigned[n, sequence_length + 1]."""

    tokens: npt.NDArray[np.unsignedinteger]
    spans: Spans

    def take(self, rows: npt.NDArray[np.int64]) -> "Rows":
        """Return the given rows, in that order."""
        return Rows(self.tokens[rows], self.spans.take(rows))


class Totals(BaseModel):
    """Totals over rows."""

    model_config = ConfigDict(frozen=True)
    rows: int = 0
    tokens: int = 0
    """Tokens without padding, including each document's bos and eos."""
    documents: int = 0
    """Documents that start in these rows."""
    bytes: int = 0
    """UTF-8 bytes of the text of these rows."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            rows=self.rows + other.rows,
            tokens=self.tokens + other.tokens,
            documents=self.documents + other.documents,
            bytes=self.bytes + other.bytes,
        )


class TokenCounts(BaseModel):
    """Token counts of a group of documents. The shards hold ``encoded - cropped`` of the tokens."""

    model_config = ConfigDict(frozen=True)
    documents: int = 0
    encoded: int = 0
    """Tokens of the documents, including bos and eos, and of repeated documents each time."""
    cropped: int = 0
    """Tokens that packing left out."""

    @property
    def in_shards(self) -> int:
        """Tokens in rows."""
        return self.encoded - self.cropped

    def __add__(self, other: "TokenCounts") -> "TokenCounts":
        return TokenCounts(
            documents=self.documents + other.documents,
            encoded=self.encoded + other.encoded,
            cropped=self.cropped + other.cropped,
        )


Languages = dict[SplitName, dict[str, dict[str, TokenCounts]]]
"""Token counts by split, source and language."""


class Header(BaseModel):
    """Properties common to all rows of a set of shards."""

    model_config = ConfigDict(frozen=True)
    sequence_length: int
    vocabulary_size: int
    bos: int | None
    """None if documents start without one."""
    eos: int
    pad: int
    tokenizer_sha256: str
    packing: str
    """Name of the packing method."""
    corpus: str
    """Hash of the manifest of the packed documents."""

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Dtype of the tokens."""
        return dtype_for(self.vocabulary_size)


class Facts(Header):
    """Facts in the manifest: the header, and totals per file and per split and source."""

    token_type: Literal["uint16", "uint32"]
    files: dict[str, Totals]
    """By path below the shards' folder."""
    block_bytes: int = Field(default=1 << 20, ge=1)
    """Size of the blocks of a file that have a digest each; the last one is shorter."""
    blocks: dict[str, str] = {}
    """The digests of a file's blocks, as :func:`core.shards.blocks.file_digests`, by path. Empty in shards of
    earlier versions, which are only read from local disk."""
    sources: dict[SplitName, dict[str, Totals]]
    languages: Languages = {}
    """Empty if the languages are unknown, as those of tokens from another trainer."""

    def token_counts(self, split: SplitName, source: str) -> TokenCounts:
        """Return the sum over the languages of a source."""
        return sum(self.languages[split][source].values(), TokenCounts())
