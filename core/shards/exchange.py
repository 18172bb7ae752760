"""Conversion of shards to and from the formats of other trainers.

- ``flat``: the tokens of all documents one after another in ``<split>.bin``, little-endian uint16 or uint32,
  as nanoGPT reads them.
- ``megatron``: Megatron-Core's indexed dataset, ``<split>.bin`` with the same tokens and ``<split>.idx`` with
  the length and position of each document (``megatron/core/datasets/indexed_dataset.py``).

Documents are whole again, unless packing cropped them, and in the order in which they start in the rows.
Padding is left out.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from core import storage
from core.errors import InputError, OutputError
from core.manifest import FileEntry, Manifest, fingerprint
from core.shards import packing
from core.shards.breaks import TextBreaks
from core.shards.format import SPLITS, STAGE, Header, Rows, SplitName
from core.shards.reader import Shards
from core.shards.writer import WrittenFile, publish, write_file
from core.stage import Stage
from core.tokenizer import Tokenizer

Format = Literal["flat", "megatron"]
Tokens = npt.NDArray[np.unsignedinteger]

MAGIC, VERSION = b"MMIDIDX\x00\x00", 1
_INDEX_HEAD = struct.Struct("<9sQBQQ")
_TYPE_CODES: Mapping[np.dtype[np.integer], int] = MappingProxyType({np.dtype("<u2"): 8, np.dtype("<i4"): 4})
_ROWS_PER_FILE = 1 << 14
_READ_TOKENS = 1 << 24
"""Tokens of a flat file that are searched for documents at a time."""


def export(shards: Shards, out: str, to: Format) -> Iterator[Path]:
    """Write the documents of each split to a new local folder; yield each file.

    Megatron has no unsigned 32-bit type: tokens of such shards become int32. Raises :class:`OutputError` for
    a folder that is remote or exists.
    """
    if not storage.is_local(out):
        raise OutputError(f"{out}: written on local disk only; name a local folder, and copy it")
    folder = Path(storage.absolute(out).removeprefix("file://"))
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise OutputError(f"{out}: exists; name a new folder") from None
    dtype = shards.facts.dtype
    stored: np.dtype[np.integer] = np.dtype("<i4") if to == "megatron" and dtype.itemsize == 4 else dtype
    for split in SPLITS:
        target, lengths = folder / f"{split}.bin", []
        unfinished = folder / f"{split}.partial"
        with unfinished.open("wb") as stream:
            for document in documents(shards, split):
                stream.write(document.astype(stored).tobytes())
                lengths.append(len(document))
        unfinished.replace(target)
        yield target
        if to == "megatron":
            yield _write_index(target.with_suffix(".idx"), np.array(lengths, np.int32), stored)


def documents(shards: Shards, split: SplitName) -> Iterator[Tokens]:
    """Yield the tokens of every document of a split, a few files in memory at a time."""
    for source in shards.sources:
        first = 0
        for _, files in groupby(shards.files(split, source), _pack_group):
            count = sum(file.rows for file in files)
            tokens, spans = shards.read(split, source, np.arange(first, first + count))
            yield from _join_spans(Rows(tokens, spans))
            first += count


def _pack_group(file: FileEntry) -> str:
    """Return the number of a file's group: files of one group may hold parts of the same document."""
    return file.path.removesuffix(".arrow").partition("_")[0]


def _join_spans(rows: Rows) -> Iterator[Tokens]:
    """Yield the documents of some rows, in the order in which they start, and each copy of a repeated one."""
    spans, row_length = rows.spans, rows.tokens.shape[1]
    row_of = np.repeat(np.arange(len(rows.tokens)), np.diff(spans.bounds))
    _, document = np.unique(spans.document_id, axis=0, return_inverse=True)
    copy = _occurrences(np.column_stack([document, spans.offset]))
    begins, flat = row_of * row_length + spans.start, rows.tokens.reshape(-1)
    _, first, group = np.unique(
        np.column_stack([document, copy]), axis=0, return_index=True, return_inverse=True
    )
    order = np.lexsort((spans.offset, first[group]))
    edges = np.flatnonzero(np.diff(group[order], prepend=-1, append=-1))
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        parts = order[start:end].tolist()
        yield np.concatenate([flat[begins[part] : begins[part] + spans.length[part]] for part in parts])


def _occurrences(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each row how many equal ones are before it."""
    _, group = np.unique(rows, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    before = np.empty(len(order), np.int64)
    before[order] = np.arange(len(order)) - np.repeat(starts, counts)
    return before


def _write_index(path: Path, lengths: npt.NDArray[np.int32], dtype: np.dtype[np.integer]) -> Path:
    pointers = (np.cumsum(lengths, dtype=np.int64) - lengths) * dtype.itemsize
    head = _INDEX_HEAD.pack(MAGIC, VERSION, _TYPE_CODES[dtype], len(lengths), len(lengths) + 1)
    path.write_bytes(
        head + lengths.tobytes() + pointers.tobytes() + np.arange(len(lengths) + 1, dtype=np.int64).tobytes()
    )
    return path


def convert(file: Path, out: str, tokenizer: Tokenizer, sequence_length: int, source: str) -> Manifest:
    """Pack the documents of a ``.bin`` file into training shards in the folder ``out``.

    The file is flat, unless a Megatron index is beside it.

    The documents of a flat file end at the tokenizer's ``eos``. A document's id is a hash of the file's name
    and the document's number. Reads the file twice, first to check it: raises :class:`InputError` for a file
    of another format, and for tokens that the tokenizer does not have. The corpus in the manifest is the
    file's SHA-256. Does nothing if the output exists already.
    """
    _, sha256 = storage.checksum(str(file))
    settings, inputs = {"sequence_length": sequence_length, "source": source}, [sha256, tokenizer.sha256]
    stage = Stage(STAGE, out, fingerprint(STAGE, settings, inputs), settings, inputs, reads=(str(file),))
    header = packing.make_header(tokenizer, sequence_length=sequence_length, corpus=sha256[:32])
    for number, tokens in enumerate(_read_documents(file, header)):
        if len(tokens) and (largest := int(tokens.max())) >= header.vocabulary_size:
            raise InputError(
                f"{file}: document {number} has the token {largest}, but the tokenizer has "
                f"{header.vocabulary_size}; give the tokenizer that the file was made with"
            )
    with stage.claim() as done:
        return done or publish(stage, _pack(file, header, stage.folder, source, tokenizer), header)


def _pack(
    file: Path, header: Header, folder: str, source: str, tokenizer: Tokenizer
) -> Iterator[WrittenFile]:
    """Pack so many documents at a time as fill a file, and write it."""
    breaks, byte_lengths = TextBreaks(tokenizer).before, tokenizer.byte_lengths()
    waiting: list[packing.Document] = []
    size, part = 0, 0

    def write() -> WrittenFile:
        rows = packing.pack(waiting, header, breaks)
        return write_file(folder, "train", source, f"{part:05d}", rows, header, byte_lengths)

    for number, tokens in enumerate(_read_documents(file, header)):
        identifier = hashlib.blake2b(f"{file.name}\0{number}".encode(), digest_size=16).digest()
        waiting.append(packing.Document(identifier, tokens.astype(header.dtype)))
        size += len(tokens)
        if size >= _ROWS_PER_FILE * (header.sequence_length + 1):
            yield write()
            waiting, size, part = [], 0, part + 1
    if waiting:
        yield write()


def _read_documents(file: Path, header: Header) -> Iterator[Tokens]:
    index = file.with_suffix(".idx")
    return _indexed(file, index) if index.exists() else _flat(file, header)


def _flat(file: Path, header: Header) -> Iterator[Tokens]:
    """Yield the documents of a flat file; the last one may lack its end."""
    size, width = file.stat().st_size, header.dtype.itemsize
    if size % width or not size:
        raise InputError(
            f"{file}: {size} bytes, which are not tokens of {width} bytes each, as a vocabulary of "
            f"{header.vocabulary_size} has; give the tokenizer that the file was made with"
        )
    rest = np.empty(0, header.dtype)
    with file.open("rb") as stream:
        while len(data := np.fromfile(stream, header.dtype, _READ_TOKENS)):
            tokens = np.concatenate([rest, data])
            ends = np.flatnonzero(tokens == header.eos) + 1
            *whole, rest = np.split(tokens, ends)
            yield from whole
    if len(rest):
        yield rest


def _indexed(file: Path, index: Path) -> Iterator[Tokens]:
    """Yield the documents of a Megatron dataset; each sequence counts as one."""
    with index.open("rb") as stream:
        head = stream.read(_INDEX_HEAD.size)
        if len(head) < _INDEX_HEAD.size or not head.startswith(MAGIC):
            raise InputError(f"{index}: not an index of Megatron's; remove it if {file.name} is a flat file")
        _, version, code, count, _ = _INDEX_HEAD.unpack(head)
        dtype = next((dtype for dtype, number in _TYPE_CODES.items() if number == code), None)
        if version != VERSION or dtype is None:
            raise InputError(
                f"{index}: version {version} with type {code}, but version {VERSION} with uint16 (8) or "
                "int32 (4) is read; write it again with one of these"
            )
        lengths, pointers = _read(stream, "<i4", count, index), _read(stream, "<i8", count, index)
    size = file.stat().st_size
    with file.open("rb") as stream:
        for length, pointer in zip(lengths.tolist(), pointers.tolist(), strict=True):
            if length < 0 or not 0 <= pointer <= size - length * dtype.itemsize:
                raise InputError(f"{index}: points beyond the end of {file.name}; copy both files again")
            stream.seek(pointer)
            tokens: npt.NDArray[np.integer] = np.fromfile(stream, dtype, length)
            yield tokens.astype(np.uint32)  # a negative one becomes larger than any vocabulary


def _read(stream: BinaryIO, dtype: str, count: int, index: Path) -> npt.NDArray[np.int64]:
    values = np.fromfile(stream, dtype, count)
    if len(values) != count:
        raise InputError(f"{index}: ends early; copy it again")
    return values.astype(np.int64)
