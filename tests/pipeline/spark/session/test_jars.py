import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from core.errors import InputError
from pipeline.spark.session import jars


@pytest.fixture
def central(tmp_path, monkeypatch):
    """Serve a repository with one jar, and use an empty cache."""
    jar = tmp_path / "repository" / "org" / "x" / "x-1.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(b"jar")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    handler = type("Handler", (SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "repository")) as server:
        monkeypatch.setenv("DEFAULT_ARTIFACT_REPOSITORY", f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever).start()
        yield jar
        server.shutdown()


def _listing(tmp_path, *lines):
    listing = tmp_path / "listing.txt"
    listing.write_text("# Comment.\n" + "".join(f"{line}\n" for line in lines))
    return listing


def test_concurrent_fetches_download_a_jar_once(central, tmp_path):
    listing = _listing(tmp_path, f"{hashlib.sha256(b'jar').hexdigest()}  org/x/x-1.jar")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: jars.fetch(listing), range(16)))
    cached = tmp_path / "cache" / "gristmill" / "jars" / "x-1.jar"
    assert found == [[str(cached)]] * 16
    assert cached.read_bytes() == b"jar"
    central.unlink()
    assert jars.fetch(listing) == [str(cached)]
    assert [file.name for file in cached.parent.iterdir()] == ["x-1.jar"]


@pytest.mark.parametrize(
    ("line", "message"),
    [(f"{'0' * 64}  org/x/x-1.jar", "SHA-256"), (f"{'0' * 64}  org/x/missing.jar", "cannot be downloaded")],
)
def test_failed_downloads_leave_no_files(central, tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        jars.fetch(_listing(tmp_path, line))
    assert list((tmp_path / "cache" / "gristmill" / "jars").iterdir()) == []


def test_listing_is_sorted_without_duplicates():
    lines = jars.S3A.read_text().splitlines()
    assert lines == sorted(set(lines), key=lambda line: line.split()[1])
    assert all(len(line.split()[0]) == 64 and line.endswith(".jar") for line in lines)


def test_default_repository_is_the_one_built_into_ivy(monkeypatch):
    monkeypatch.delenv("DEFAULT_ARTIFACT_REPOSITORY", raising=False)
    assert jars.repository().startswith("https://")
    assert jars.repository().endswith("/maven2")
