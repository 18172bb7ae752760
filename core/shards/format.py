"""What a shard file and its manifest hold.

A file is an Arrow IPC file with one record batch, uncompressed and without nulls, so that a reader maps it
into memory and takes rows as they lie::

    tokens  fixed_size_list<uint16 | uint32>[sequence_length + 1]
    spans   list<struct<document_id: fixed_size_binary[16], start: int32, length: int32, offset: int32>>

A span: ``length`` tokens from ``start`` in the row are the tokens from ``offset`` of the document, counted in
the document's full sequence ``bos, text, eos``.
"""

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

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
    """The narrowest type that holds every token id."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


def schema(sequence_length: int, dtype: np.dtype[np.unsignedinteger]) -> pa.Schema:
    """The schema of a shard file."""
    token = pa.field("item", pa.from_numpy_dtype(dtype), nullable=False)
    span = pa.field("item", SPAN, nullable=False)
    return pa.schema(
        [
            pa.field("tokens", pa.list_(token, sequence_length + 1), nullable=False),
            pa.field("spans", pa.list_(span), nullable=False),
        ]
    )


def file_path(split: SplitName, source: str, part: str) -> str:
    """Path of a shard file below the shards' folder, whatever characters the source's name has."""
    folder = re.sub(r"^[._]", lambda first: f"%{ord(first[0]):02X}", quote(source, safe=""))
    return f"{split}/{folder}/part-{part}.arrow"


def split_and_source(path: str) -> tuple[str, str]:
    """The split and the source whose rows the file of this path holds."""
    split, folder, _ = path.split("/")
    return split, unquote(folder)


@dataclass(frozen=True, slots=True)
class Spans:
    """The document pieces of n rows, flat: those of row i are ``bounds[i]:bounds[i + 1]``."""

    bounds: npt.NDArray[np.int64]
    """int64[n + 1]."""
    document_id: npt.NDArray[np.uint8]
    """uint8[m, 16]; ``document_id[k].tobytes().hex()`` is the id in the documents table."""
    start: npt.NDArray[np.int32]
    """int32[m]: first token in the row."""
    length: npt.NDArray[np.int32]
    """int32[m]: number of tokens."""
    offset: npt.NDArray[np.int32]
    """int32[m]: first token in the document."""

    def take(self, rows: npt.NDArray[np.int64]) -> "Spans":
        """The spans of some rows, in the order asked for."""
        counts = self.bounds[rows + 1] - self.bounds[rows]
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        index = np.arange(bounds[-1]) + np.repeat(self.bounds[rows] - bounds[:-1], counts)
        return Spans(
            bounds, self.document_id[index], self.start[index], self.length[index], self.offset[index]
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed sequences: ``tokens`` is unsigned[n, sequence_length + 1]."""

    tokens: npt.NDArray[np.unsignedinteger]
    spans: Spans

    def take(self, rows: npt.NDArray[np.int64]) -> "Rows":
        """Some rows, in the order asked for."""
        return Rows(self.tokens[rows], self.spans.take(rows))


class Totals(BaseModel):
    """Sums over rows."""

    model_config = ConfigDict(frozen=True)
    rows: int = 0
    tokens: int = 0
    """Without padding, with each document's bos and eos."""
    documents: int = 0
    """Documents that begin in these rows."""
    bytes: int = 0
    """UTF-8 bytes of the text of these rows."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            rows=self.rows + other.rows,
            tokens=self.tokens + other.tokens,
            documents=self.documents + other.documents,
            bytes=self.bytes + other.bytes,
        )


class Header(BaseModel):
    """What every row of a set of shards has in common."""

    model_config = ConfigDict(frozen=True)
    sequence_length: int
    vocabulary_size: int
    bos: int
    eos: int
    pad: int
    tokenizer_sha256: str
    packing: str
    """Name of the packing method."""
    corpus: str
    """Hash of the manifest of the documents that were packed."""

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The type of the tokens."""
        return dtype_for(self.vocabulary_size)


class Facts(Header):
    """The facts of the manifest: the header, and totals per file and per split and source."""

    token_type: Literal["uint16", "uint32"]
    files: dict[str, Totals]
    """By path below the shards' folder."""
    sources: dict[SplitName, dict[str, Totals]]
