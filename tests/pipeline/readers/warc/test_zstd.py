import os
import struct
from pathlib import Path

import pytest
from backports import zstd

from core import config
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, Record
from tests.pipeline.readers.warc.warcs import items, record

PAGES = [
    record(b"<p>page %d " % number + os.urandom(900).hex().encode(), f"http://example.org/{number}")
    for number in range(200)
]
SAMPLES = [record(b"<p>common text of many pages %d" % number * 9) for number in range(200)]
DICTIONARY = zstd.train_dict(SAMPLES, 4096)


def with_dictionary(content: bytes) -> bytes:
    """Return a file whose first frame contains the dictionary, as some crawlers write it."""
    frames = [zstd.compress(page, zstd_dict=DICTIONARY) for page in PAGES]
    return b"\x5d\x2a\x4d\x18" + struct.pack("<I", len(content)) + content + b"".join(frames)


@pytest.mark.parametrize(
    "data",
    [
        b"".join(map(zstd.compress, PAGES)),
        zstd.compress(b"".join(PAGES)),
        b"\x50\x2a\x4d\x18\x03\0\0\0abc".join(map(zstd.compress, PAGES)),
        with_dictionary(DICTIONARY.dict_content),
        with_dictionary(zstd.compress(DICTIONARY.dict_content)),
    ],
    ids=["frames", "one frame", "empty frames", "dictionary", "compressed dictionary"],
)
def test_splits_of_zstd_files_yield_the_same_records(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.warc.zst"
    found = items(path, data)
    assert [item.url for item in found if isinstance(item, Record)] == [
        f"http://example.org/{number}" for number in range(200)
    ]
    assert len({item.origin.offset for item in found}) == len(found) == 200
    settings = config.InputConfig(paths=(str(path),), split_bytes=1 << 16)
    splits = plan_splits(settings)
    assert [item for split in splits for item in read(split, settings.columns)] == found


def test_frames_with_an_unreadable_dictionary_are_damage(tmp_path: Path) -> None:
    (damaged,) = items(tmp_path / "a.warc.zst", with_dictionary(b"no dictionary"))
    assert isinstance(damaged, Damaged)
    assert "ictionary" in damaged.error
