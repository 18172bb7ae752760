import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from core.config import FiltersConfig
from core.errors import InputError
from pipeline.analysis import hash_words
from pipeline.document import METRICS
from pipeline.filters import FilterPipeline, url

LISTS = url.UrlLists(
    domains=np.sort(hash_words(["bad.com", "worse.example.org"])),
    addresses=frozenset({"shop.com/bad/page", "shop.com/p?id=1"}),
    words=frozenset({"xxx"}),
    soft_words=frozenset({"hot", "live"}),
    fragments=re.compile("pornhub|freecasino"),
)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("https://bad.com/", {"url_domain": 1}),
        ("https://www.BAD.com:8080/a", {"url_domain": 1}),
        ("https://notbad.com/", {}),
        ("https://example.org/", {}),
        ("https://a.worse.example.org/", {"url_domain": 1}),
        ("http://www.shop.com/bad/page/", {"url_address": 1}),
        ("http://shop.com/p?id=1", {"url_address": 1}),
        ("http://shop.com/p?id=2", {}),
        ("http://a.org/some-XXX-page", {"url_word": 1}),
        ("http://a.org/somexxxpage", {}),
        ("http://a.org/hot-live-news", {"url_soft_words": 2}),
        ("http://a.org/free-casino", {"url_fragment": 1}),
        ("http://[::1", {}),
        ("no address", {}),
        ("", {}),
    ],
)
def test_lists(address: str, found: dict[str, float]) -> None:
    assert {name: count for name, count in LISTS.measure(address).items() if count} == found


def test_domains_are_compiled_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"site{number}.org" for number in range(50)]
    archive = tmp_path / "lists.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        data = "\n".join(names).encode()
        member = tarfile.TarInfo("domains")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    monkeypatch.setattr(url, "CHUNK", 64)
    compiled = url.compile_domains(archive)
    assert set(hash_words(names).tolist()) <= set(compiled.tolist())
    assert compiled.tolist() == sorted(set(compiled.tolist()))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://www.0-1sex.com/a", "url.domain"),
        ("https://zzzzporn.com", "url.domain"),
        ("http://anything.org/2g1c", "url.word"),
        ("https://en.wikipedia.org/wiki/Scunthorpe", None),
        ("https://www.nhs.uk/conditions/breast-cancer/", None),
        ("", None),
    ],
)
def test_packaged_lists(address: str, reason: str | None) -> None:
    metrics, drop = FilterPipeline(FiltersConfig()).check_url(address)
    assert set(metrics) == ({metric for metric in METRICS if metric.startswith("url_")} if address else set())
    assert (drop and drop.reason) == reason
    assert drop is None or (drop.value is not None and drop.value > (drop.threshold or 0))


def test_user_lists(tmp_path: Path) -> None:
    lists = {
        "url_domains": "# mine\nMine.example\nhttps://other.example/\n\n",
        "url_addresses": "https://www.example.org/Bad/Page/\n",
        "url_words": "zorbing\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
    filters = FilterPipeline(FiltersConfig.model_validate({name: str(tmp_path / name) for name in lists}))
    reasons = {
        "https://mine.example/a": "url.domain",
        "https://www.other.example": "url.domain",
        "http://example.org/bad/page": "url.address",
        "https://example.org/zorbing-fun": "url.word",
        "https://zzzzporn.com": "url.domain",
        "https://example.org/good/page": None,
    }
    dropped = {address: filters.check_url(address)[1] for address in reasons}
    assert {address: drop and drop.reason for address, drop in dropped.items()} == reasons


def test_unreadable_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        FilterPipeline(FiltersConfig(url_domains=str(tmp_path / "none.txt"))).check_url("https://example.org")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9.example\n")
    with pytest.raises(InputError, match="not UTF-8"):
        FilterPipeline(FiltersConfig(url_words=str(tmp_path / "latin.txt"))).check_url("https://example.org")


def test_urls_are_measured_under_every_preset() -> None:
    metrics, drop = FilterPipeline(FiltersConfig(preset="none")).check_url("https://zzzzporn.com")
    assert metrics["url_domain"] == 1 and drop is None
