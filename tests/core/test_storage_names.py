"""Names with any character, links and what a listing skips."""

import os
import uuid
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core import storage
from core.errors import InputError
from core.storage.paths import temporary_name, without_temporary

NAMES = [
    "set [v2]",
    "star*",
    "q?x=1&y",
    "a{b}c",
    "100% done #1",
    "%20",
    "a::b",
    "semi;colon:two",
    "back\\slash",
    "double  space",
    'it\'s "quoted"',
    "plus+and~tilde",
    "spät 漢字 😀",
    "[",
    "s3:",
]


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.server)])
def root(request, tmp_path):
    base = str(tmp_path) if request.param == "local" else request.getfixturevalue(request.param)
    return storage.join(base, uuid.uuid4().hex)


def paths(listed):
    return [file.path for file in listed]


@pytest.mark.parametrize("name", NAMES)
def test_an_existing_path_is_that_path(root, name):
    folder = storage.join(root, name)
    file = storage.join(folder, f"{name} [01].txt")
    storage.write_atomic(file, b"here")
    for other in ("set v", "starx", "a0.txt"):
        storage.write_atomic(storage.join(root, other, f"{name} 0.txt"), b"elsewhere")
    assert paths(storage.list_files(folder)) == paths(storage.list_files(file)) == [file]
    assert storage.exists(folder) and storage.exists(file)
    assert storage.read_bytes(file) == storage.read_range(file, 0, 9) == b"here"
    assert paths(storage.list_files(f"{folder}/*")) == [file]
    with storage.open_read(file) as stream:
        assert stream.read() == b"here"
    storage.remove(folder)
    assert not storage.exists(folder)
    assert len(storage.list_files(root)) == 3


def test_a_file_with_brackets_hides_no_other_file(root):
    for name in ("part[01].txt", "part0.txt", "part1.txt"):
        storage.write_atomic(storage.join(root, name), name.encode())
    assert paths(storage.list_files(storage.join(root, "part[01].txt"))) == [
        storage.join(root, "part[01].txt")
    ]
    storage.remove(storage.join(root, "part[01].txt"))
    assert len(storage.list_files(storage.join(root, "part[01].txt"))) == 2


def test_hidden_names_are_counted_and_markers_are_not(root):
    for name in ("a", ".b", "_c/1", "_c/2", "_SUCCESS", ".part-0.parquet.crc", "d/.DS_Store"):
        storage.write_atomic(storage.join(root, name), b"x")
    listing = storage.scan(root)
    assert paths(listing.files) == [storage.join(root, "a")]
    assert listing.skipped == {storage.join(root, name): "hidden" for name in (".b", "_c")}
    assert storage.scan(storage.join(root, "*")) == listing


def test_links_are_followed_and_loops_are_broken(tmp_path: Path):
    outside, root = tmp_path / "outside", tmp_path / "in"
    (outside / "below").mkdir(parents=True)
    (root / "deep").mkdir(parents=True)
    (outside / "one.txt").write_text("1")
    (outside / "below" / "two.txt").write_text("22")
    (root / "link.txt").symlink_to(outside / "one.txt")
    (root / "folder").symlink_to(outside / "below")
    (root / "deep" / "up").symlink_to(root)
    (root / "here").symlink_to(root)
    (root / "dangling").symlink_to(tmp_path / "nowhere")
    (root / "itself").symlink_to("itself")
    os.mkfifo(root / "pipe")
    listing = storage.scan(str(root))
    assert [(file.path, file.size) for file in listing.files] == [
        (f"{root}/folder/two.txt", 2),
        (f"{root}/link.txt", 1),
    ]
    assert listing.skipped == {
        f"{root}/dangling": "a link to nothing",
        f"{root}/deep/up": "a link to a folder that contains it",
        f"{root}/here": "a link to a folder that contains it",
        f"{root}/itself": "a link to nothing",
        f"{root}/pipe": "not a regular file",
    }
    assert storage.scan(f"{root}/**").files == listing.files
    assert storage.scan(f"{root}/**/*.txt").files == listing.files
    assert paths(storage.list_files(f"{root}/*/two.*")) == [f"{root}/folder/two.txt"]
    with pytest.raises(InputError, match="a link to nothing"):
        storage.scan(f"{root}/dangling")


def test_name_that_is_not_utf8_is_skipped(tmp_path: Path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).touch()
    listing = storage.scan(str(tmp_path))
    assert paths(listing.files) == [f"{tmp_path}/a.txt"]
    assert listing.skipped == {f"{tmp_path}/caf\\udce9.txt": "its name is not UTF-8"}


@given(
    st.text(st.characters(exclude_characters="/\0"), min_size=1), st.sampled_from(["", "/", "/a/.b/", "a/"])
)
def test_temporary_name_is_hidden_beside_its_path_and_stands_for_it(name: str, folder: str) -> None:
    assume(name not in (".", ".."))
    temporary = temporary_name(f"{folder}{name}")
    assert temporary.startswith(f"{folder}.")
    assert temporary != temporary_name(f"{folder}{name}")
    assert without_temporary(temporary) == f"{folder}{name}"
    assert without_temporary(f"{folder}{name}") == f"{folder}{name}"
