import gzip
import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

from core.config import InputConfig
from pipeline.ledger import Reason
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Damaged, Item, Record, Skipped
from pipeline.readers.wikimedia.xml_export import read


def article(name: str, **extra: object) -> bytes:
    fields = {
        "name": name,
        "identifier": 7,
        "date_modified": "2024-05-06T07:08:09Z",
        "url": f"https://da.wikipedia.org/wiki/{name}",
        "namespace": {"identifier": 0},
        "in_language": {"identifier": "da"},
        "license": [{"identifier": "CC-BY-SA-4.0", "name": "Creative Commons"}],
        "article_body": {"html": f"<p>{name} er en by.</p>"},
    }
    return json.dumps(fields | extra).encode() + b"\n"


def archive(*files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, data in enumerate(files):
            info = tarfile.TarInfo(f"dawiki_namespace_0_{number}.ndjson")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def items(path: Path, data: bytes) -> list[Item]:
    path.write_bytes(data)
    (split,) = plan_splits(InputConfig(paths=(str(path),)))
    assert (split.format, split.source) == ("wikipedia", "wikipedia")
    return list(read(split))


def test_articles_of_all_files_have_their_metadata(tmp_path: Path) -> None:
    tar = archive(article("Ribe") + article("Aarhus"), article("Odense"))
    found = items(tmp_path / "dawiki-NS0-ENTERPRISE-HTML.json.tar.gz", gzip.compress(tar))
    assert [item.title for item in found if isinstance(item, Record)] == ["Ribe", "Aarhus", "Odense"]
    first = found[0]
    assert isinstance(first, Record)
    assert (first.media, first.body, first.language) == ("wikihtml", "<p>Ribe er en by.</p>", "da")
    assert (first.url, first.license) == ("https://da.wikipedia.org/wiki/Ribe", "CC-BY-SA-4.0")
    assert first.fetched_at == datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    for item in found:
        begin = item.origin.offset
        assert isinstance(item, Record)
        assert json.loads(tar[begin : begin + item.origin.length])["name"] == item.title


def test_lines_that_are_not_articles_are_skipped_or_damage(tmp_path: Path) -> None:
    talk = article("Diskussion:Ribe", namespace={"identifier": 1})
    tar = archive(talk + b"{broken\n" + b"[1]\n" + article("Ribe", license="?", article_body=None))
    skipped, broken, no_object, article_without_text = items(tmp_path / "a.tar.gz", gzip.compress(tar))
    assert isinstance(skipped, Skipped)
    assert (skipped.drop.reason, skipped.drop.value) == (Reason.NAMESPACE, 1.0)
    assert isinstance(broken, Damaged)
    assert isinstance(no_object, Damaged)
    assert isinstance(article_without_text, Record)
    assert (article_without_text.body, article_without_text.license) == ("", "")


def test_truncated_archive_keeps_the_articles_before_the_cut(tmp_path: Path) -> None:
    tar = archive(*(article(f"By {number}") for number in range(50)))
    packed = gzip.compress(tar)
    *before, last = items(tmp_path / "a.tar.gz", packed[: len(packed) * 2 // 3])
    assert isinstance(last, Damaged)
    assert "ends early" in last.error
    assert [item.title for item in before if isinstance(item, Record)] == [
        f"By {number}" for number in range(len(before))
    ]
    assert len(before) > 10
