import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import storage
from core.config import InputConfig
from core.errors import InputError
from pipeline.readers import commoncrawl, read
from pipeline.readers.inputs import find_files, plan_splits
from pipeline.readers.record import Record
from tests.pipeline.readers.warc.warcs import record
from tests.servers.web import web_server

CRAWL = "CC-MAIN-2026-30"
FILES = [f"crawl-data/{CRAWL}/segments/1.{n % 3}/warc/CC-MAIN-2026-{n:05}.warc.gz" for n in range(40)]


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A copy of the path lists of a crawl and of its first three files."""
    folder = tmp_path / "mirror/crawl-data" / CRAWL
    folder.mkdir(parents=True)
    (folder / "warc.paths.gz").write_bytes(gzip.compress("\n".join([*FILES, ""]).encode()))
    wet = [path.replace("/warc/", "/wet/").replace(".warc.gz", ".warc.wet.gz") for path in FILES]
    (folder / "wet.paths.gz").write_bytes(gzip.compress("\n".join(wet).encode()))
    for path in FILES[:3]:
        file = tmp_path / "mirror" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(record(b"<p>page", url=f"http://example.org/{file.name}")))
    return tmp_path / "mirror"


@pytest.mark.parametrize(
    ("name", "folder", "count"),
    [
        (f"commoncrawl:{CRAWL}", "/warc/", 40),
        (f"commoncrawl:{CRAWL}/warc", "/warc/", 40),
        (f"commoncrawl:{CRAWL}/wet", "/wet/", 40),
        (f"commoncrawl:{CRAWL}/wet?sample=1", "/wet/", 40),
    ],
)
def test_crawl_name_expands_to_the_files_of_its_list(
    mirror: Path, name: str, folder: str, count: int
) -> None:
    found = commoncrawl.expand(name, f"{mirror}/")
    assert len(found) == count
    assert all(path.startswith(f"{mirror}/crawl-data/{CRAWL}/") and folder in path for path in found)


def test_custom_list_may_contain_any_paths(mirror: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.txt"
    own.write_text(f"{FILES[1]}\n\n s3://other/file.warc.gz \n/abs/file.warc.gz\n")
    assert commoncrawl.expand(f"commoncrawl:{own}", "s3://commoncrawl") == [
        f"s3://commoncrawl/{FILES[1]}",
        "s3://other/file.warc.gz",
        "/abs/file.warc.gz",
    ]


def test_news_month_selects_its_list() -> None:
    found = commoncrawl.parse("commoncrawl:CC-NEWS/2026/07?sample=.5", "s3://commoncrawl/")
    assert found == commoncrawl.Selection("s3://commoncrawl/crawl-data/CC-NEWS/2026/07/warc.paths.gz", 0.5)


def test_sample_does_not_depend_on_location_or_order(mirror: Path, tmp_path: Path) -> None:
    half = commoncrawl.expand(f"commoncrawl:{CRAWL}?sample=0.5", str(mirror))
    fifth = commoncrawl.expand(f"commoncrawl:{CRAWL}?sample=0.2", str(mirror))
    assert set(fifth) < set(half)
    assert 10 <= len(half) <= 30
    backwards = tmp_path / "backwards.paths"
    backwards.write_text("\n".join(reversed(FILES)))
    again = commoncrawl.expand(f"commoncrawl:{backwards}?sample=0.5", str(mirror))
    assert again == half[::-1]


@pytest.mark.parametrize(
    "name",
    [
        "commoncrawl:",
        f"commoncrawl:{CRAWL}/wat",
        f"commoncrawl:{CRAWL}?sample=0",
        f"commoncrawl:{CRAWL}?sample=1.5",
        f"commoncrawl:{CRAWL}?half",
        "commoncrawl:CC-MAIN-2026-30/",
    ],
)
def test_invalid_name_is_rejected(name: str) -> None:
    with pytest.raises(InputError, match="must be commoncrawl:CRAWL"):
        commoncrawl.expand(name, "s3://commoncrawl/")


@given(st.text(max_size=20))
def test_any_name_is_parsed_or_rejected(name: str) -> None:
    try:
        assert commoncrawl.parse(f"commoncrawl:{name}", "s3://base").list_path
    except InputError as error:
        assert "correct it" in str(error)


def test_unreadable_list_is_rejected(mirror: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"CC-MAIN-1999-01/warc\.paths\.gz: no such file"):
        commoncrawl.expand("commoncrawl:CC-MAIN-1999-01", str(mirror))
    (tmp_path / "cut").write_bytes(gzip.compress(b"path\n" * 50)[:-9])
    with pytest.raises(InputError, match="must be a list of paths"):
        commoncrawl.expand(f"commoncrawl:{tmp_path}/cut", str(mirror))
    (tmp_path / "none").write_bytes(b"\n\n")
    with pytest.raises(InputError, match=r"no path of .*none is selected"):
        commoncrawl.expand(f"commoncrawl:{tmp_path}/none", str(mirror))


def test_finding_files_opens_only_the_list(mirror: Path) -> None:
    with web_server(mirror) as web:
        settings = InputConfig(paths=(f"commoncrawl:{CRAWL}",), commoncrawl=web.url)
        found = find_files(settings)
        assert [file.path for file in found] == [f"{web.url}/{path}" for path in FILES]
        assert [file.file_name for file in found] == [path.rsplit("/", 1)[1] for path in FILES]
        assert {response.path for response in web.responses} == {f"/crawl-data/{CRAWL}/warc.paths.gz"}


@pytest.mark.server
def test_reading_a_split_fetches_little_more_than_the_split(tmp_path: Path) -> None:
    source = random.Random(1)
    pages = (record(source.randbytes(50_000), url=f"http://example.org/{n}") for n in range(300))
    (tmp_path / "large.warc.gz").write_bytes(b"".join(gzip.compress(page, 1) for page in pages))
    with web_server(tmp_path) as web:
        splits = plan_splits(InputConfig(paths=(f"{web.url}/large.warc.gz",), split_bytes=1 << 20))
        assert len(splits) > 10
        assert web.sent < 2 * storage.READ_AHEAD
        before = web.sent
        assert len(list(read(splits[2]))) > 10
        assert web.sent - before < 3 * storage.READ_AHEAD


@pytest.mark.server
def test_http_mirror_and_local_copy_yield_the_same_records(mirror: Path, tmp_path: Path) -> None:
    three = tmp_path / "three.paths"
    three.write_text("\n".join(FILES[:3]))
    with web_server(mirror) as web:
        found = []
        for base in (web.url, str(mirror)):
            splits = plan_splits(InputConfig(paths=(f"commoncrawl:{three}",), commoncrawl=base))
            found.append([(split.file_name, item) for split in splits for item in read(split)])
        assert found[0] == found[1]
        assert sum(isinstance(item, Record) for _, item in found[0]) == 3
