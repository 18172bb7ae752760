"""Write shard files and their manifest. Files are deterministic: equal rows give equal bytes."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from core import storage
from core.manifest import FileEntry, Manifest
from core.shards.blocks import BLOCK_BYTES, file_digests
from core.shards.format import (
    SPAN,
    SPLITS,
    Facts,
    Header,
    Languages,
    Rows,
    Spans,
    SplitName,
    Totals,
    file_path,
    schema,
)
from core.stage import Stage


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A shard file that has been written to the shards' folder."""

    split: SplitName
    source: str
    entry: FileEntry
    totals: Totals
    blocks: str
    """Digests of its blocks, as :func:`core.shards.blocks.file_digests`."""


def write_file(
    folder: str,
    split: SplitName,
    source: str,
    part: str,
    rows: Rows,
    header: Header,
    byte_lengths: npt.NDArray[np.int32],
) -> WrittenFile:
    """Write one shard file atomically.

    ``part`` is the number in its name. ``byte_lengths`` are those of the tokenizer, for the total of bytes.
    """
    path = file_path(split, source, part)
    with tempfile.TemporaryDirectory(prefix="gristmill-") as temporary:
        local = str(Path(temporary) / "shard.arrow")
        _write(local, rows, header)
        size, sha256 = storage.checksum(local)
        blocks = file_digests(local)
        storage.upload(local, storage.join(folder, path))
    totals = Totals(
        rows=len(rows.tokens),
        tokens=int(rows.spans.length.sum()),
        documents=int((rows.spans.offset == 0).sum()),
        bytes=int(byte_lengths[rows.tokens].sum()),
    )
    entry = FileEntry(path=path, size=size, rows=totals.rows, sha256=sha256)
    return WrittenFile(split, source, entry, totals, blocks)


def publish(
    stage: Stage, files: Iterable[WrittenFile], header: Header, languages: Languages | None = None
) -> Manifest:
    """Write the manifest, which makes the shards exist. Files of other attempts are removed before.

    ``languages``: counts of the tokens that were encoded. Raises :class:`RuntimeError` if the files hold
    other numbers of tokens or documents: then some were lost or doubled.
    """
    ordered = sorted(files, key=lambda file: file.entry.path)
    sources: dict[SplitName, dict[str, Totals]] = {split: {} for split in SPLITS}
    for file in ordered:
        totals = sources[file.split]
        totals[file.source] = totals.get(file.source, Totals()) + file.totals
    facts = Facts(
        **header.model_dump(),
        token_type="uint16" if header.dtype == np.uint16 else "uint32",
        files={file.entry.path: file.totals for file in ordered},
        sources=sources,
        block_bytes=BLOCK_BYTES,
        blocks={file.entry.path: file.blocks for file in ordered},
        languages=languages or {},
    )
    if languages:
        _check_tokens(facts)
    for split in SPLITS:
        kept = {path.removeprefix(f"{split}/") for path in facts.files if path.startswith(f"{split}/")}
        storage.remove_others(storage.join(stage.folder, split), kept)
    return stage.publish(
        counts=sum((file.totals for file in ordered), Totals()).model_dump(),
        files=[file.entry for file in ordered],
        facts=facts.model_dump(mode="json"),
    )


def _check_tokens(facts: Facts) -> None:
    """Compare the tokens and documents in the files with those that were encoded."""
    for split, sources in facts.sources.items():
        counts = {source: facts.token_counts(split, source) for source in facts.languages.get(split, {})}
        expected = {source: (each.in_shards, each.documents) for source, each in counts.items()}
        found = {source: (totals.tokens, totals.documents) for source, totals in sources.items()}
        if found != expected:
            raise RuntimeError(f"{split}: tokens and documents by source are {found}, expected {expected}")


def _write(local: str, rows: Rows, header: Header) -> None:
    """Write the Arrow IPC file. Buffers are not slices of larger ones, so unused bytes cannot differ."""
    file_schema = schema(header.sequence_length, header.dtype)
    tokens = pa.array(np.ascontiguousarray(rows.tokens, header.dtype).reshape(-1))
    columns = [
        pa.FixedSizeListArray.from_arrays(tokens, type=file_schema.field("tokens").type),
        _spans(rows.spans),
    ]
    with pa.OSFile(local, "wb") as sink, pa.ipc.new_file(sink, file_schema) as file:
        file.write_batch(pa.record_batch(columns, schema=file_schema))


def _spans(spans: Spans) -> pa.Array:
    ids = pa.Array.from_buffers(
        pa.binary(16), len(spans.start), [None, pa.py_buffer(np.ascontiguousarray(spans.document_id))]
    )
    numbers = [pa.array(column, pa.int32()) for column in (spans.start, spans.length, spans.offset)]
    values = pa.StructArray.from_arrays([ids, *numbers], fields=list(SPAN))
    list_type = pa.list_(pa.field("item", SPAN, nullable=False))
    return pa.ListArray.from_arrays(pa.array(spans.bounds, pa.int32()), values, type=list_type)
