"""Compressed shards, for storage that is seldom read.

Every file becomes a Zstandard frame, ``….arrow.zst``, which ``zstd -d`` reads too. Their manifest contains
that of the shards, so that these are restored byte by byte, with the same hash and thus the same order.
"""

import hashlib
from collections.abc import Iterator

import pyarrow as pa
from pydantic import ValidationError

from core import manifest, storage
from core.errors import ManifestError
from core.manifest import FileEntry, Manifest
from core.shards.format import STAGE as SHARDS
from core.stage import Stage

STAGE = "compressed_shards"
LEVEL = 9
"""Tokens of books shrink to .61 of their size; at level 3 to .70, at 12 to .59 at half the speed."""
SUFFIX = ".zst"


def compress(folder: str, out: str) -> Iterator[FileEntry]:
    """Write compressed shards to ``out``, local or remote; yield an entry per file, as it is written.

    Does nothing if they exist already. Raises :class:`ManifestError` for a damaged file.
    """
    found, codec = manifest.read(folder, SHARDS), pa.Codec("zstd", LEVEL)
    stage = Stage(STAGE, out, found.sha256(), inputs=[found.sha256()], reads=(folder,))
    with stage.claim() as done:
        if done:
            return
        entries = []
        for entry in found.files:
            data = storage.read_bytes(storage.join(folder, entry.path))
            _check(folder, entry, data)
            entries.append(stage.write(entry.path + SUFFIX, codec.compress(data, asbytes=True), entry.rows))
            yield entries[-1]
        stage.publish(found.counts, entries, {"manifest": found.model_dump(mode="json")})


def restore(folder: str, out: str) -> Iterator[FileEntry]:
    """Write the shards that were compressed to ``out``; yield an entry per file, as it is written.

    Does nothing if they exist already. Raises :class:`ManifestError` for a damaged file.
    """
    archive, codec = manifest.read(folder, STAGE), pa.Codec("zstd")
    try:
        original = Manifest.model_validate(archive.facts["manifest"])
    except (KeyError, ValidationError):
        path = storage.join(folder, manifest.NAME)
        raise ManifestError(f"{path}: has no manifest of shards; compress them again") from None
    stage = Stage(SHARDS, out, original.fingerprint, original.config, original.inputs, reads=(folder,))
    with stage.claim() as done:
        if done:
            return
        for compressed, entry in zip(archive.files, original.files, strict=True):
            data = storage.read_bytes(storage.join(folder, compressed.path))
            _check(folder, compressed, data)
            yield stage.write(entry.path, codec.decompress(data, entry.size, asbytes=True), entry.rows)
        manifest.publish(out, original)


def _check(folder: str, entry: FileEntry, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ManifestError(
            f"{storage.join(folder, entry.path)}: its SHA-256 differs from the manifest's; restore the file"
        )
