import bz2
import gzip
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ledger import Reason
from pipeline.readers import read
from pipeline.readers.compressed import blocks
from pipeline.readers.record import Damaged, InputSplit, Item, Record, Skipped
from tests.commands import REAL_DATA

WIKI = REAL_DATA / "wiki"

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.10/" version="0.10" xml:lang="da">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <base>https://da.wikipedia.org/wiki/Forside</base>
    <namespaces><namespace key="0" /><namespace key="1">Diskussion</namespace></namespaces>
  </siteinfo>
"""


def page(title: str, text: str, *, namespace: int = 0, extra: str = "", model: str = "wikitext") -> str:
    return f"""  <page>
    <title>{title}</title><ns>{namespace}</ns><id>7</id>{extra}
    <revision><id>8</id><timestamp>2024-05-06T07:08:09Z</timestamp>
      <model>{model}</model><text xml:space="preserve">{text}</text></revision>
  </page>
"""


PAGES = [page(f"Side {number}", f"Tekst {number} om æbler") for number in range(5)]
DUMP = HEAD + "".join(PAGES) + "</mediawiki>\n"


def items(path: Path, data: bytes) -> list[Item]:
    path.write_bytes(data)
    return list(read(InputSplit(str(path), path.name, "wikipedia", "wikipedia", 0, len(data))))


def multistream(chunks: list[str]) -> bytes:
    return b"".join(bz2.compress(chunk.encode()) for chunk in chunks)


@pytest.mark.parametrize(
    "data",
    [
        DUMP.encode(),
        DUMP.encode("utf-16"),
        gzip.compress(DUMP.encode()),
        bz2.compress(DUMP.encode()),
        multistream([HEAD, *PAGES, "</mediawiki>"]),
    ],
    ids=["plain", "utf-16", "gzip", "bzip2", "multistream"],
)
def test_pages_have_the_metadata_of_the_dump(tmp_path: Path, data: bytes) -> None:
    found = items(tmp_path / "dump.xml", data)
    assert [item.title for item in found if isinstance(item, Record)] == [f"Side {n}" for n in range(5)]
    offsets = [item.origin.offset for item in found]
    assert offsets == sorted(set(offsets))
    first = found[0]
    assert isinstance(first, Record)
    assert (first.title, first.body, first.media) == ("Side 0", "Tekst 0 om æbler", "wikitext")
    assert first.url == "https://da.wikipedia.org/wiki/Side_0"
    assert (first.language, first.license) == ("da", "CC-BY-SA-4.0")
    assert first.fetched_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_pages_that_are_not_articles_are_skipped_with_a_reason(tmp_path: Path) -> None:
    dump = [
        HEAD,
        page("Diskussion:A", "hm", namespace=1),
        page("B", "#REDIRECT [[C]]", extra='<redirect title="C" />'),
        page("C", "{}", model="json"),
        page("D", "tekst"),
        "</mediawiki>",
    ]
    talk, redirect, data, article = items(tmp_path / "dump.xml", "".join(dump).encode())
    assert isinstance(talk, Skipped)
    assert (talk.drop.reason, talk.drop.value) == (Reason.NAMESPACE, 1.0)
    assert isinstance(redirect, Skipped)
    assert redirect.drop.reason == Reason.REDIRECT
    assert isinstance(data, Skipped)
    assert data.drop.reason == Reason.MEDIA_TYPE
    assert isinstance(article, Record)


def test_redirects_and_namespaces_of_old_exports(tmp_path: Path) -> None:
    dump = [
        HEAD,
        page("A", "#OMDIRIGERING [[B]]"),
        page("Diskussion:A", "hm").replace("<ns>0</ns>", ""),
        page("B", "tekst\n#REDIRECT er et ord").replace("<ns>0</ns>", ""),
        "</mediawiki>",
    ]
    redirect, talk, article = items(tmp_path / "dump.xml", "".join(dump).encode())
    assert isinstance(redirect, Skipped)
    assert redirect.drop.reason == Reason.REDIRECT
    assert isinstance(talk, Skipped)
    assert talk.drop.reason == Reason.NAMESPACE
    assert isinstance(article, Record)


def test_latest_revision_is_read(tmp_path: Path) -> None:
    history = page("A", "old").replace("</revision>", "</revision><revision><text>new</text></revision>")
    (found,) = items(tmp_path / "dump.xml", (HEAD + history + "</mediawiki>").encode())
    assert isinstance(found, Record)
    assert found.body == "new"


def test_invalid_namespace_is_damage(tmp_path: Path) -> None:
    odd = page("A", "text").replace("<ns>0</ns>", "<ns>zero</ns>")
    damaged, sound = items(tmp_path / "dump.xml", (HEAD + odd + page("B", "b") + "</mediawiki>").encode())
    assert isinstance(damaged, Damaged)
    assert isinstance(sound, Record)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pack=st.sampled_from([bytes, gzip.compress, bz2.compress]), share=st.floats(0.0, 0.999))
def test_truncated_dump_keeps_the_pages_before_the_cut(tmp_path: Path, pack, share: float) -> None:
    data = pack(DUMP.encode())
    found = items(tmp_path / "dump.xml", data[: int(len(data) * share)])
    *before, last = found
    assert isinstance(last, Damaged)
    assert [item.title for item in before if isinstance(item, Record)] == [
        f"Side {number}" for number in range(len(before))
    ]
    assert last.origin.offset == len(before)


def count_pages(path: Path) -> Counter[int | str]:
    """Count pages of a dump by namespace, and redirects among articles, with regular expressions only."""
    with path.open("rb") as stream:
        dump = b"".join(blocks(stream))
    xml = dump.decode("utf-16" if dump.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8")
    found: Counter[int | str] = Counter()
    for page_of_dump in re.findall(r"<page>.*?</page>", xml, re.DOTALL):
        namespace = int(re.search(r"<ns>(-?\d+)</ns>", page_of_dump)[1])
        is_redirect = namespace == 0 and "<redirect " in page_of_dump
        found["redirect" if is_redirect else namespace] += 1
    return found


@pytest.mark.skipif(not WIKI.exists(), reason="needs ../shared/data beside the repository")
@pytest.mark.parametrize(
    ("name", "pages", "articles"),
    [
        ("enwiki-shortened.xml.bz2", 206, 106),
        ("enwiktionary-test.xml.bz2", 1389, 1331),
        ("itwiki-small.xml.gz", 747, 608),
        ("ltgwiki-small.xml.bz2", 2004, 903),
        ("bgwiki-utf16-truncated.xml.bz2", 3, 1),
    ],
)
def test_real_dumps_yield_every_page_by_namespace(name: str, pages: int, articles: int) -> None:
    path = WIKI / name
    found = list(read(InputSplit(str(path), name, "wikipedia", "wikipedia", 0, path.stat().st_size)))
    by_namespace: Counter[int | str] = Counter(
        0 if isinstance(item, Record) else "redirect" if item.drop.value is None else int(item.drop.value)
        for item in found
        if not isinstance(item, Damaged)
    )
    assert not any(isinstance(item, Damaged) for item in found)
    assert by_namespace == count_pages(path)
    assert (len(found), by_namespace[0]) == (pages, articles)
