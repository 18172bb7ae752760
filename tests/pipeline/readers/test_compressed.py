"""Compressions of files, several on top of each other, and reading on after damage."""

import bz2
import gzip
import io
import json
import lzma
import random
import struct
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import InputConfig
from pipeline.readers import read
from pipeline.readers.compressed import BrokenStreamError, blocks, sections
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, Record

NUMBERS = random.Random(1)
TEXTS = [f"text {number} {NUMBERS.randbytes(30).hex()}" for number in range(300)]
LINES = [json.dumps({"text": text}).encode() + b"\n" for text in TEXTS]
CONTENT = b"".join(LINES)
SKIPPABLE = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 5) + b"index"
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    "brotli": brotli.compress,
}
WITH_MEMBERS = [name for name in COMPRESSORS if name != "brotli"]
compressors = st.sampled_from(sorted(COMPRESSORS))


def decompressed(data: bytes) -> bytes:
    return b"".join(blocks(io.BytesIO(data)))


@settings(max_examples=40)
@given(names=st.lists(compressors, max_size=3, unique=True), size=st.sampled_from([1000, 20_000]))
def test_compressions_on_top_of_each_other_are_undone(names: list[str], size: int) -> None:
    data = CONTENT[:size]
    for name in names:
        data = COMPRESSORS[name](data)
    assert decompressed(data) == CONTENT[:size]


@pytest.mark.parametrize(
    "data",
    [
        SKIPPABLE + zstd.compress(CONTENT),
        SKIPPABLE * 3 + zstd.compress(CONTENT[:99]) + SKIPPABLE + zstd.compress(CONTENT[99:]) + SKIPPABLE,
        zstd.compress(CONTENT, options={zstd.CompressionParameter.window_log: 28}),
        gzip.compress(b"") + gzip.compress(CONTENT) + gzip.compress(b""),
        gzip.compress(CONTENT) + b"\0" * 1000,
        lzma.compress(CONTENT[:99]) + b"\0" * 8 + lzma.compress(CONTENT[99:]),
        lzma.compress(CONTENT, lzma.FORMAT_ALONE),
    ],
    ids=["pzstd", "skippable frames", "long window", "empty members", "padding", "xz padding", "lzma"],
)
def test_unusual_files(tmp_path: Path, data: bytes) -> None:
    assert decompressed(data) == CONTENT
    for name in ("a.jsonl", "a.jsonl.zst", "a"):
        (tmp_path / name).write_bytes(data)
        (split,) = plan_splits(InputConfig(paths=(str(tmp_path / name),)))
        assert [item.body for item in read(split) if isinstance(item, Record)] == TEXTS


@pytest.mark.parametrize("name", WITH_MEMBERS)
@settings(max_examples=30)
@given(member=st.integers(0, 9), share=st.floats(0.3, 0.7), cut=st.booleans())
def test_damage_costs_the_rest_of_its_member(name: str, member: int, share: float, cut: bool) -> None:
    packed = [COMPRESSORS[name](b"".join(LINES[at : at + 30])) for at in range(0, 300, 30)]
    at = int(len(packed[member]) * share)
    packed[member] = packed[member][:at] + b"" if cut else packed[member][:at] + b"\xff" * 60
    runs, errors = [], 0
    for section in sections(io.BytesIO(b"".join(packed))):
        runs.append(b"")
        try:
            for block in section:
                runs[-1] += block
        except BrokenStreamError:
            errors += 1
    assert errors == 1
    found = b"".join(runs)
    for number, line in enumerate(LINES):
        assert number // 30 == member or line in found


@pytest.mark.parametrize("name", WITH_MEMBERS)
def test_json_lines_after_damage_are_read(tmp_path: Path, name: str) -> None:
    for size in (len(LINES[0]) * 20, 1501):  # members that end with a line, and within one
        packed = [COMPRESSORS[name](CONTENT[at : at + size]) for at in range(0, len(CONTENT), size)]
        packed[2] = packed[2][: len(packed[2]) // 2]
        path = tmp_path / f"a.jsonl.{name}"
        path.write_bytes(b"".join(packed))
        (split,) = plan_splits(InputConfig(paths=(str(path),)))
        found = list(read(split))
        bodies = [item.body for item in found if isinstance(item, Record)]
        start = CONTENT.count(b"\n", 0, 2 * size)
        end = CONTENT.count(b"\n", 0, 3 * size) + 1
        assert set(TEXTS[:start] + TEXTS[end:]) <= set(bodies)
        assert len(bodies) == len(set(bodies))
        assert sum(isinstance(item, Damaged) for item in found) == 1
        assert len({item.origin.offset for item in found}) == len(found)


@settings(max_examples=150)
@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", *(c(CONTENT)[:200] for c in COMPRESSORS.values())]),
)
def test_any_bytes_are_read_or_broken(data: bytes, start: bytes) -> None:
    for section in sections(io.BytesIO(start + data)):
        try:
            for block in section:
                assert block
        except BrokenStreamError:
            pass
