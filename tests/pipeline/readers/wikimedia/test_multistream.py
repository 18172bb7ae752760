"""Multistream dumps with arbitrary splits and arbitrary damage."""

import bz2
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from core.config import InputConfig
from core.errors import InputError
from pipeline.readers.compressed import blocks
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, InputSplit, Item, Record
from pipeline.readers.wikimedia.xml_export import read
from tests.pipeline.readers.wikimedia.test_xml_export import HEAD, WIKI, page

PAGE = re.compile(rb"<page>.*?</page>\s*", re.DOTALL)
TAIL = "</mediawiki>\n"
NOISE = "".join(chr(0x4E00 + (index * index * 7919) % 20000) for index in range(3000))


def text(number: int) -> str:
    """Return the text of a page, different for each number and long for some."""
    return NOISE[number * 97 % 2000 :][: 10 + number * 311 % 900] + f" {number}"


PAGES = [page(f"Side {number}", text(number)) for number in range(24)]


def in_streams(pages: Sequence[bytes], size: int, head: bytes, tail: bytes) -> list[bytes]:
    groups = [b"".join(pages[at : at + size]) for at in range(0, len(pages), size)]
    return [bz2.compress(part) for part in (head, *groups, tail)]


def records(path: Path, length: int, split_bytes: int) -> list[Item]:
    return [
        item
        for start in range(0, length, split_bytes)
        for item in read(
            InputSplit(
                str(path), path.name, "wikipedia", "wikipedia", start, min(split_bytes, length - start)
            )
        )
    ]


STREAMS = in_streams([page.encode() for page in PAGES], 3, HEAD.encode(), TAIL.encode())
STARTS = [sum(map(len, STREAMS[:index])) for index in range(len(STREAMS))]


def test_origin_is_the_stream_offset_plus_the_ordinal(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(b"".join(STREAMS))
    found = records(path, path.stat().st_size, 1 << 20)
    assert [item.origin.offset for item in found] == [
        start + ordinal for start in STARTS[1:-1] for ordinal in range(3)
    ]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(sizes=[83], split_bytes=300, padding=b"", bare=False)  # The last stream begins inside the last tag.
@given(
    sizes=st.lists(st.integers(60, 900), min_size=1),
    split_bytes=st.integers(300, 6000),
    padding=st.sampled_from([b"", bz2.compress(b""), b"\0" * 9]),
    bare=st.booleans(),
)
def test_any_splits_of_any_streams_yield_the_same_items(
    tmp_path: Path, sizes: list[int], split_bytes: int, padding: bytes, bare: bool
) -> None:
    """Streams may end inside pages, as parallel compressors write them, and even inside tags."""
    dump = (HEAD + "".join(PAGES[:6]) + TAIL).encode()[: -100 if bare else None]
    cuts, at = [0], 0
    while at < len(dump):
        at += sizes[len(cuts) % len(sizes)]
        cuts.append(at)
    streams = [bz2.compress(dump[begin:end]) for begin, end in pairwise(cuts)]
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(padding.join(streams) + padding)
    whole = records(path, path.stat().st_size, 1 << 30)
    assert [item.title for item in whole if isinstance(item, Record)] == [
        f"Side {number}" for number in range(5 if bare else 6)
    ]
    assert any(isinstance(item, Damaged) for item in whole) == bare
    assert records(path, path.stat().st_size, split_bytes) == whole
    assert len({item.origin.offset for item in whole}) == len(whole)


EDITS = st.tuples(
    st.sampled_from(["flip", "cut", "insert"]),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=40),
)


def damaged(data: bytes, operation: str, share: float, extra: bytes) -> tuple[bytes, int, int]:
    """Apply one edit. Return the data and the range of original bytes that it touches."""
    at = int(len(data) * share)
    if operation == "flip":
        return data[:at] + bytes([data[at] ^ (extra[0] or 1)]) + data[at + 1 :], at, at + 1
    if operation == "cut":
        return data[:at] + data[at + len(extra) :], at, at + len(extra)
    return data[:at] + extra + data[at:], at, at + 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=EDITS, split_bytes=st.sampled_from([700, 5000, 1 << 30]))
@example(edit=("flip", 0.0, b"\x7e"), split_bytes=1 << 30)
@example(edit=("cut", 0.9999, b"a"), split_bytes=1 << 30)
@example(edit=("cut", 0.45865623373552494, b"a"), split_bytes=700)  # the last bytes of a stream
def test_damage_costs_only_its_own_stream(
    tmp_path: Path, edit: tuple[str, float, bytes], split_bytes: int
) -> None:
    data, begin, end = damaged(b"".join(STREAMS), *edit)
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(data)
    found = records(path, len(data), split_bytes)
    kept = {item.title: item.body for item in found if isinstance(item, Record)}
    assert len(kept) == sum(isinstance(item, Record) for item in found)
    assert all(body == text(int(title.split()[1])) for title, body in kept.items())
    for index, start in enumerate(STARTS[1:-1]):
        if not start - 1 < end or not begin < start + len(STREAMS[index + 1]):
            assert kept.keys() >= {f"Side {index * 3 + ordinal}" for ordinal in range(3)}
    lost = len(PAGES) - len(kept)
    assert any(isinstance(item, Damaged) for item in found) or not lost
    assert found == records(path, len(data), 1 << 30)


@pytest.mark.parametrize("index", [0, 1, 4, len(STREAMS) - 1])
def test_damage_reports_its_range_and_the_pages_before_it(tmp_path: Path, index: int) -> None:
    broken = bytearray(b"".join(STREAMS))
    broken[STARTS[index] + len(STREAMS[index]) // 2] ^= 1
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(broken)
    (item,) = [item for item in records(path, len(broken), 1 << 30) if isinstance(item, Damaged)]
    assert (item.origin.offset, item.origin.length) == (STARTS[index], len(STREAMS[index]))
    assert item.error.endswith("after 0 of its pages")


def test_magic_number_inside_a_stream_is_ignored(tmp_path: Path) -> None:
    """Compressed data may contain the magic number by chance; here it is inserted between streams."""
    for extra in (b"BZh91AY&SY", STREAMS[3][:400]):
        data = b"".join(STREAMS[:3]) + extra + b"".join(STREAMS[3:])
        path = tmp_path / "dump.xml.bz2"
        path.write_bytes(data)
        whole = records(path, len(data), 1 << 30)
        assert sum(isinstance(item, Record) for item in whole) == len(PAGES)
        assert [item.origin.length for item in whole if isinstance(item, Damaged)] == [len(extra)]
        for split_bytes in (397, 1000):
            assert records(path, len(data), split_bytes) == whole


def test_decompression_bomb_is_damage(tmp_path: Path) -> None:
    bomb = bz2.compress(b"a" * (100 << 20))
    data = STREAMS[0] + bomb + b"".join(STREAMS[1:])
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(data)
    found = records(path, len(data), 1 << 30)
    assert sum(isinstance(item, Record) for item in found) == len(PAGES)
    (item,) = [item for item in found if isinstance(item, Damaged)]
    assert "expand to more than" in item.error


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=EDITS)
def test_damaged_xml_costs_only_the_pages_it_touches(tmp_path: Path, edit: tuple[str, float, bytes]) -> None:
    dump = (HEAD + "".join(PAGES) + TAIL).encode()
    data, begin, end = damaged(dump, edit[0], edit[1], edit[2].replace(b"<", b"!").replace(b">", b"!"))
    assume(not data.startswith(b"BZh"))
    path = tmp_path / "dump.xml"
    path.write_bytes(data)
    found = records(path, len(data), 1 << 30)
    bodies = [item.body for item in found if isinstance(item, Record)]
    for number, found_page in enumerate(PAGE.finditer(dump)):
        touched = found_page.start() <= end and begin <= found_page.end()
        assert touched or bodies.count(text(number)) == 1
    assert len(found) >= len(PAGES) - (2 if begin < len(dump) - 60 else 1)


@cache
def real_dump(name: str) -> tuple[bytes, list[bytes], bytes]:
    """Return head, pages and tail of a real dump."""
    with (WIKI / name).open("rb") as stream:
        dump = b"".join(blocks(stream))
    pages = PAGE.findall(dump)
    begin = dump.index(b"<page>")
    return dump[:begin], pages, dump[begin + sum(map(len, pages)) :]


@pytest.mark.skipif(not WIKI.exists(), reason="needs ../shared/data beside the repository")
@pytest.mark.parametrize(
    ("name", "pages_per_stream"),
    [
        ("enwiki-shortened.xml.bz2", 10),
        ("itwiki-small.xml.gz", 100),
        ("ltgwiki-small.xml.bz2", 100),
    ],
)
def test_splits_of_real_dumps_yield_the_same_records(
    tmp_path: Path, name: str, pages_per_stream: int
) -> None:
    head, pages, tail = real_dump(name)
    data = b"".join(in_streams(pages, pages_per_stream, head, tail))
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(data)
    whole = records(path, len(data), 1 << 40)
    assert len(whole) == len(pages)
    assert not any(isinstance(item, Damaged) for item in whole)
    for split_bytes in (1 << 16, 1 << 20):
        assert records(path, len(data), split_bytes) == whole
    unsplit = list(read(InputSplit(str(WIKI / name), name, "wikipedia", "wikipedia", 0, 1)))
    assert [getattr(item, "body", item) for item in whole if isinstance(item, Record)] == [
        item.body for item in unsplit if isinstance(item, Record)
    ]


def test_dump_with_an_index_or_a_damaged_head_is_split(tmp_path: Path) -> None:
    data = bytearray(b"".join(STREAMS)) + bz2.compress(NOISE.encode()) * 20
    (tmp_path / "dawiki-20240501-pages-articles-multistream-index.txt.bz2").write_bytes(
        bz2.compress(b"0:1:A")
    )
    path = tmp_path / "dawiki-20240501-pages-articles-multistream.xml.bz2"
    path.write_bytes(data)
    settings_of_input = InputConfig(paths=(str(tmp_path),), split_bytes=1 << 16)
    splits = plan_splits(settings_of_input)
    assert [split.start for split in splits] == list(range(0, len(data), 1 << 16))
    assert len(splits) > 1
    data[100] ^= 1
    path.write_bytes(data)
    assert plan_splits(settings_of_input) == splits
    with pytest.raises(InputError, match="only the index of a multistream dump"):
        plan_splits(InputConfig(paths=(str(tmp_path / "*index*"),)))


def test_utf_16_dump_is_not_split(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml.bz2"
    path.write_bytes(bz2.compress((HEAD + NOISE * 40 + TAIL).encode("utf-16")))
    assert len(plan_splits(InputConfig(paths=(str(path),), split_bytes=1 << 16))) == 1
