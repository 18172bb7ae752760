"""The sample crawl: complete, valid, and reproducible."""

import shutil
from pathlib import Path

import pytest
from warcio.archiveiterator import ArchiveIterator

from core import manifest
from core.errors import OutputError
from demo import crawl, packages


def test_crawl_has_every_collection(sample_crawl: Path) -> None:
    files = manifest.read(str(sample_crawl), "crawl").files
    pages = dict.fromkeys(("manual-14", "manual-20", "introductions", "encodings"), 0)
    for file in files:
        for name in pages:
            if file.path.startswith(f"warc/{name}-"):
                pages[name] += file.rows
    assert pages == {"manual-14": 225, "manual-20": 236, "introductions": 26_227, "encodings": 425}
    assert sum(file.path.startswith("books/") for file in files) == 77
    assert sum(file.path.startswith("wiki/") for file in files) == 1
    assert sum(file.path.startswith("warc/") and not file.rows for file in files) == 14


def test_files_match_the_manifest(sample_crawl: Path) -> None:
    manifest.verify(str(sample_crawl), manifest.read(str(sample_crawl), "crawl"))


@pytest.mark.parametrize("name", ["manual-14", "introductions", "encodings"])
def test_warcio_reads_repacked_files(sample_crawl: Path, name: str) -> None:
    path = sample_crawl / "warc" / f"{name}-00000.warc.gz"
    entries = {file.path: file.rows for file in manifest.read(str(sample_crawl), "crawl").files}
    kinds: list[str] = []
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, check_digests="raise"):
            record.content_stream().read()
            kinds.append(record.rec_type)
    assert kinds == ["warcinfo", *["response"] * entries[f"warc/{path.name}"]]


def test_both_manuals_share_pages(sample_crawl: Path) -> None:
    old, new = (_paths(sample_crawl, f"manual-{version}", f"/en/{version}/") for version in ("14", "20"))
    assert len(old & new) == 216


def test_headers_declare_no_encoding(sample_crawl: Path) -> None:
    with (sample_crawl / "warc" / "encodings-00000.warc.gz").open("rb") as stream:
        headers = [record.http_headers for record in ArchiveIterator(stream) if record.rec_type == "response"]
    assert {header.get_header("Content-Type") for header in headers} <= {"text/html", "text/plain"}


def test_finished_crawl_is_not_rebuilt(sample_crawl: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (sample_crawl / "manifest.json").stat().st_mtime_ns
    crawl.build(str(sample_crawl))
    assert "already built" in capsys.readouterr().out
    assert (sample_crawl / "manifest.json").stat().st_mtime_ns == before


def test_interrupted_build_gives_the_same_crawl(sample_crawl: Path, tmp_path: Path) -> None:
    whole = manifest.read(str(sample_crawl), "crawl")
    folder = tmp_path / "crawl"
    shutil.copytree(sample_crawl / "warc", folder / "warc")
    (folder / "warc" / "half-written.warc.gz").write_bytes(b"\x1f\x8b")
    (folder / "started.json").write_bytes(
        manifest.canonical({"stage": "crawl", "fingerprint": whole.fingerprint})
    )
    assert crawl.build(str(folder)) == whole
    assert not (folder / "warc" / "half-written.warc.gz").exists()


def test_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="make clean-demo"):
        crawl.build(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_every_package_is_pinned() -> None:
    for package in packages.table().values():
        assert package.version in package.file
        assert len(package.sha256) == 64
        assert package.licence


def _paths(folder: Path, name: str, before: str) -> set[str]:
    found = set()
    for path in sorted(folder.glob(f"warc/{name}-*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                if record.rec_type == "response":
                    found.add(record.rec_headers.get_header("WARC-Target-URI").partition(before)[2])
    return found
