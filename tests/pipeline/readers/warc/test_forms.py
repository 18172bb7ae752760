"""Forms of archives that are recognized and read: compressions, versions, what precedes them."""

import bz2
import gzip
import lzma
import random
import struct
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
from backports import zstd

from core import config
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.recognition import is_splittable
from pipeline.readers.record import Damaged, InputSplit, Record
from tests.pipeline.readers.warc.warcs import members, record

NUMBERS = random.Random(0)
PAGES = [
    record(b"<p>page %d " % number + NUMBERS.randbytes(400).hex().encode(), f"http://example.org/{number}")
    for number in range(6)
]
PLAIN = b"".join(PAGES)
URLS = [f"http://example.org/{number}" for number in range(6)]
BLOCKS = [PLAIN[at : at + 1500] for at in range(0, len(PLAIN), 1500)]


def skippable(content: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", len(content)) + content


def pzstd(blocks: list[bytes]) -> bytes:
    """Compress blocks as pzstd does: a skippable frame before each tells the size of the next frame."""
    frames = [zstd.compress(block) for block in blocks]
    return b"".join(skippable(struct.pack("<I", len(frame))) + frame for frame in frames)


COMPRESSED = {
    "members": b"".join(members(PAGES)),
    "one member": gzip.compress(PLAIN),
    "blocks": b"".join(members(BLOCKS)) + gzip.compress(b""),
    "empty member first": gzip.compress(b"") + b"".join(members(PAGES)),
    "zstd frames": b"".join(map(zstd.compress, PAGES)),
    "one frame": zstd.compress(PLAIN),
    "pzstd": pzstd(BLOCKS),
    "pzstd of records": pzstd(PAGES),
    "seekable zstd": zstd.compress(PLAIN) + skippable(b"index"),
    "long zstd": zstd.compress(PLAIN, options={zstd.CompressionParameter.window_log: 28}),
    "bzip2": bz2.compress(PLAIN),
    "bzip2 blocks": b"".join(map(bz2.compress, BLOCKS)),
    "xz": lzma.compress(PLAIN),
    "xz blocks": b"\0\0\0\0".join(map(lzma.compress, BLOCKS)),
    "lzma": lzma.compress(PLAIN, lzma.FORMAT_ALONE),
    "brotli": brotli.compress(PLAIN),
    "gzip twice": gzip.compress(b"".join(members(PAGES))),
    "gzip in zstd": zstd.compress(gzip.compress(PLAIN)),
    "zstd in gzip": gzip.compress(b"".join(map(zstd.compress, PAGES))),
    "brotli in gzip": gzip.compress(brotli.compress(PLAIN)),
    "three times": bz2.compress(lzma.compress(gzip.compress(PLAIN))),
}
PLAIN_FORMS = {
    "plain": PLAIN,
    "byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "empty lines": b"\r\n\r\n\n" * 60 + PLAIN,
    "lower case": PLAIN.replace(b"WARC/1.0", b"warc/1.0"),
    "0.17": PLAIN.replace(b"WARC/1.0", b"WARC/0.17"),
    "0.18": PLAIN.replace(b"WARC/1.0", b"WARC/0.18"),
    "1.1": PLAIN.replace(b"WARC/1.0", b"WARC/1.1"),
    "2": PLAIN.replace(b"WARC/1.0", b"WARC/2"),
    "spaces after version": PLAIN.replace(b"WARC/1.0", b"WARC/1.0 \t"),
    "no newlines at the end": PLAIN.rstrip(),
    "one newline between records": PLAIN.replace(b"\r\n\r\nWARC", b"\r\nWARC").strip(),
    "line feeds": PLAIN.replace(b"\r\n", b"\n").replace(b"Content-Length: 8", b"Content-Length: 8"),
}
DAMAGED_STARTS = {
    "garbage": b"garbage" + PLAIN,
    "long garbage": NUMBERS.randbytes(100_000) + PLAIN,
    "end of a record": PAGES[0][300:] + PLAIN,
    "header without length": b"WARC/1.0\r\nWARC-Type: response\r\n\r\n<p>text\r\n\r\n" + PLAIN,
    "malformed header": b"WARC/1.0\r\nWARC Type\r\n\r\n" + PLAIN,
    "wrong length": PAGES[0].replace(b"Content-Length: ", b"Content-Length: 9") + PLAIN,
    "end of a member": members(PAGES)[0][90:] + COMPRESSED["members"],
    "cut member": members(PAGES)[0][:90] + COMPRESSED["members"],
    "garbage before members": b"garbage" * 50 + COMPRESSED["members"],
    "member of garbage": gzip.compress(b"garbage") + COMPRESSED["members"],
    "garbage in one member": gzip.compress(b"garbage\r\n" + PLAIN),
    "frame of garbage": zstd.compress(b"garbage") + COMPRESSED["zstd frames"],
    "garbage in bzip2": bz2.compress(b"garbage" * 50 + PLAIN),
}


def items(path: Path) -> list:
    (split,) = plan_splits(config.InputConfig(paths=(str(path),)))
    assert split.format == "warc"
    return list(read(split))


def in_splits(path: Path) -> list:
    """Return the items of small splits, or of the whole file if it is not splittable."""
    total = path.stat().st_size
    size = 700 if is_splittable(str(path), "warc") else total
    splits = [InputSplit(str(path), "a", "warc", "", start, size) for start in range(0, total, size)]
    return [item for split in splits for item in read(split)]


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.arc", "a.xyz", "a", "a.warc.gz.1"])
@pytest.mark.parametrize("form", [*COMPRESSED, *PLAIN_FORMS])
def test_undamaged_forms(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes((COMPRESSED | PLAIN_FORMS)[form])
    found = items(path)
    if form == "line feeds":  # The lengths of all records but those without HTTP lines are wrong.
        assert {type(item) for item in found} == {Damaged}
        return
    assert [item.url for item in found if isinstance(item, Record)] == URLS
    assert len(found) == len({item.origin.offset for item in found}) == 6
    assert in_splits(path) == found


@pytest.mark.parametrize("name", ["a.warc.gz", "a.xyz", "a"])
@pytest.mark.parametrize("form", DAMAGED_STARTS)
def test_damaged_start_costs_only_itself(tmp_path: Path, form: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(DAMAGED_STARTS[form])
    damaged, *found = items(path)
    assert isinstance(damaged, Damaged)
    assert [item.url for item in found if isinstance(item, Record)] == URLS
    assert len(found) == 6
    assert len({item.origin.offset for item in (damaged, *found)}) == 7
    assert in_splits(path) == [damaged, *found]


@pytest.mark.parametrize(
    "compress", [gzip.compress, zstd.compress, bz2.compress, lzma.compress], ids=["gzip", "zstd", "bz2", "xz"]
)
def test_damage_in_a_block_costs_the_records_in_it(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    blocks = [compress(block) for block in BLOCKS]
    path = tmp_path / "a.warc"
    for damaged in range(1, len(blocks)):
        cut = [*blocks[:damaged], blocks[damaged][:200] + b"?" * 50, *blocks[damaged + 1 :]]
        path.write_bytes(b"".join(cut))
        found = items(path)
        lost = range(damaged * 1500 // len(PAGES[0]), (damaged * 1500 + 1499) // len(PAGES[0]) + 1)
        kept = [url for number, url in enumerate(URLS) if number not in lost]
        assert [item.url for item in found if isinstance(item, Record)] == kept
        assert sum(isinstance(item, Damaged) for item in found) == 1
        assert len({item.origin.offset for item in found}) == len(found)
