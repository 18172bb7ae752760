"""Property tests: damage to a compressed WARC costs only the records that it touches, for any splits."""

import os
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.readers.record import Damaged, InputSplit, Item, Record
from pipeline.readers.warc.reader import read
from tests.pipeline.readers.warc.warcs import members, record

BODIES = [b"<p>page %d " % number + os.urandom(200 * number % 700).hex().encode() for number in range(7)]
CHECKSUM = zstd.CompressionParameter.checksum_flag
PAGES = [record(body, f"http://example.org/{number}") for number, body in enumerate(BODIES)]
PACKED = {"gzip": members(PAGES), "zstd": [zstd.compress(page, options={CHECKSUM: 1}) for page in PAGES]}
GARBAGE = st.binary(min_size=1, max_size=40) | st.sampled_from(
    [b"\x1f\x8b\x08\0", b"\x28\xb5\x2f\xfd", b"\0" * 9, b"WARC/1.0\r\n", b"\r\n\r\n"]
)
EDITS = st.tuples(
    st.sampled_from(["cut", "flip", "insert", "end"]), st.floats(0, 1, exclude_max=True), GARBAGE
)


def edited(data: bytes, edit: tuple[str, float, bytes]) -> tuple[bytes, int, int]:
    """Apply an edit. Return the new bytes and the range of the old bytes that it touches, maybe empty."""
    operation, position, garbage = edit
    at = int(position * len(data))
    end = min(len(data), at + len(garbage))
    match operation:
        case "cut":
            return data[:at] + data[end:], at, end
        case "flip":
            flipped = bytes(a ^ (b or 255) for a, b in zip(data[at:end], garbage, strict=False))
            return data[:at] + flipped + data[end:], at, end
        case "insert":
            return data[:at] + garbage + data[at:], at, at
        case _:
            return data[:at], at, len(data)


def in_splits(path: Path, size: int) -> list[Item]:
    total = path.stat().st_size
    return [
        item
        for start in range(0, total, size)
        for item in read(InputSplit(str(path), "a", "warc", "", start, min(size, total - start)))
    ]


@pytest.mark.parametrize("compression", list(PACKED))
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=EDITS, size=st.integers(20, 3000))
def test_records_outside_the_damage_are_kept(
    tmp_path: Path, compression: str, edit: tuple[str, float, bytes], size: int
) -> None:
    packed = PACKED[compression]
    data, begin, end = edited(b"".join(packed), edit)
    path = tmp_path / "a.warc"
    path.write_bytes(data)
    found = in_splits(path, 1 << 30)
    bodies = [item.body for item in found if isinstance(item, Record)]
    offset = 0
    for member, body in zip(packed, BODIES, strict=True):
        is_touched = begin < offset + len(member) and (offset < end or offset < begin)
        assert bodies.count(body) == 1 or (is_touched and body not in bodies)
        offset += len(member)
    damaged = [item for item in found if isinstance(item, Damaged)]
    assert len(found) == len(bodies) + len(damaged)
    # Every byte of the file belongs to an item: no loss is unreported.
    ends = [0, *(item.origin.offset + item.origin.length for item in found)]
    assert [item.origin.offset for item in found] == ends[:-1]
    assert ends[-1] == len(data)
    assert in_splits(path, size) == found
