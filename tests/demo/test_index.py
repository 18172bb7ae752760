"""Finding and downloading a package's file, from a package index served on loopback."""

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
        """Nothing."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is served as a package index with one project."""
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


def test_a_file_is_found_and_downloaded(served: Path) -> None:
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


def test_another_file_than_the_pinned_one_is_refused_and_leaves_nothing(served: Path) -> None:
    target = served / "cache" / "mill-1.0.tar.gz"
    with pytest.raises(InputError, match="is pinned"):
        index.download(index.find("mill", target.name), target, "0" * 64, lambda *_: None)
    assert list(target.parent.iterdir()) == []


def test_a_file_that_is_not_offered(served: Path) -> None:
    with pytest.raises(InputError, match=r"mill-2\.0.*does not offer"):
        index.find("mill", "mill-2.0.tar.gz")


def test_a_project_that_is_not_there_is_not_asked_for_twice(served: Path) -> None:
    with pytest.raises(InputError, match="404"):
        index.find("windmill", "windmill-1.0.tar.gz")


def test_the_json_form_of_the_index() -> None:
    body = b'{"files": [{"filename": "mill-1.0.tar.gz", "url": "../../files/mill-1.0.tar.gz"}]}'
    assert index._json_links(body) == {"mill-1.0.tar.gz": "../../files/mill-1.0.tar.gz"}


def test_credentials_leave_the_address() -> None:
    request = index._request("https://me:se%40cret@example.com/simple/", "*/*")
    assert request.full_url == "https://example.com/simple/"
    assert request.get_header("Authorization") == "Basic bWU6c2VAY3JldA=="


def test_only_http_is_spoken() -> None:
    with pytest.raises(InputError, match="not an http address"):
        index._request("file:///etc/passwd", "*/*")
