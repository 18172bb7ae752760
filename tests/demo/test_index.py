"""Find and download a package's file from a package index on loopback."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import InputError
from demo import index

CONTENT = b"what the package holds" * 1000


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a folder as a package index with one project."""
    page = '<a href="../../files/mill-1.0.tar.gz#sha256=00">mill-1.0.tar.gz</a> <a name="nothing">x</a>'
    (tmp_path / "simple" / "mill").mkdir(parents=True)
    (tmp_path / "simple" / "mill" / "index.html").write_text(page)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "mill-1.0.tar.gz").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"mine=http://127.0.0.1:{server.server_port}/simple/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield tmp_path
        server.shutdown()


def test_file_is_found_and_downloaded(served: Path) -> None:
    seen: list[tuple[int, int]] = []
    target = served / "cache" / "mill-1.0.tar.gz"
    index.download(
        index.find("mill", target.name),
        target,
        hashlib.sha256(CONTENT).hexdigest(),
        lambda received, expected: seen.append((received, expected)),
    )
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_unpinned_content_is_refused_and_removed(served: Path) -> None:
    target = served / "cache" / "mill-1.0.tar.gz"
    with pytest.raises(InputError, match="is pinned"):
        index.download(index.find("mill", target.name), target, "0" * 64, lambda *_: None)
    assert list(target.parent.iterdir()) == []


def test_missing_file_is_reported(served: Path) -> None:
    with pytest.raises(InputError, match=r"mill-2\.0.*does not offer"):
        index.find("mill", "mill-2.0.tar.gz")


def test_missing_project_is_reported(served: Path) -> None:
    with pytest.raises(InputError, match="404"):
        index.find("windmill", "windmill-1.0.tar.gz")


def test_json_form_of_the_index() -> None:
    body = b'{"files": [{"filename": "mill-1.0.tar.gz", "url": "../../files/mill-1.0.tar.gz"}]}'
    assert index._json_links(body) == {"mill-1.0.tar.gz": "../../files/mill-1.0.tar.gz"}


def test_credentials_are_sent_as_a_header() -> None:
    request = index._request("https://me:se%40cret@example.com/simple/", "*/*")
    assert request.full_url == "https://example.com/simple/"
    assert request.get_header("Authorization") == "Basic bWU6c2VAY3JldA=="


def test_other_schemes_are_refused() -> None:
    with pytest.raises(InputError, match="not an http address"):
        index._request("file:///etc/passwd", "*/*")
