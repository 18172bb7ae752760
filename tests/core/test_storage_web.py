"""Reading files from a web server."""

import pytest

from core import storage
from core.errors import GristmillError, InputError, MissingFileError, UnavailableError
from core.storage import retries
from tests.servers.web import web_server

pytestmark = pytest.mark.server

DATA = bytes(range(256)) * 60_000


@pytest.fixture
def web(tmp_path):
    (tmp_path / "a file.bin").write_bytes(DATA)
    (tmp_path / "empty").write_bytes(b"")
    with web_server(tmp_path) as served:
        yield served


def test_open_read_supports_seeking(web):
    path = f"{web.url}/a file.bin"
    assert storage.read_bytes(path) == DATA
    with storage.open_read(path) as stream:
        stream.seek(9_000_001)
        assert stream.read(7) == DATA[9_000_001:9_000_008]
        stream.seek(0)
        assert stream.read() == DATA
        assert stream.read(1) == b""
    with storage.open_read(f"{web.url}/empty") as stream:
        assert stream.read() == b""


def test_read_range_sends_one_request_for_the_range(web):
    assert storage.read_range(f"{web.url}/a file.bin", 1000, 50) == DATA[1000:1050]
    assert storage.read_range(f"{web.url}/a file.bin", len(DATA) - 5, 50) == DATA[-5:]
    assert storage.read_range(f"{web.url}/a file.bin", len(DATA) + 5, 50) == b""
    response, *_ = web.responses
    assert (response.method, response.start, response.length) == ("GET", 1000, 50)


def test_list_files_returns_size_and_version(web):
    path = f"{web.url}/a file.bin"
    (found,) = storage.list_files(path)
    assert (found.path, found.size) == (path, len(DATA))
    assert found.version
    assert not web.sent


def test_errors_name_the_missing_path(web):
    for attempt in (storage.list_files, storage.read_bytes, storage.open_read, storage.file_info):
        with pytest.raises(InputError, match="missing: no such file; check the path"):
            attempt(f"{web.url}/missing")


def test_servers_without_ranges_are_rejected(tmp_path):
    (tmp_path / "file").write_bytes(DATA)
    with web_server(tmp_path, ranges=False) as web, pytest.raises(InputError, match="ignores byte ranges"):
        storage.read_range(f"{web.url}/file", 10, 20)


@pytest.fixture
def failing(tmp_path, monkeypatch):
    """A server that closes the connection, or sends half a body, as often as ``failures`` says."""
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retries, "SECONDS", 5.0)
    (tmp_path / "file.bin").write_bytes(DATA)
    failures = []

    def send(_, content):
        failure = failures.pop(0) if failures and content else ""
        if failure == "closed":
            raise ConnectionError
        return content[: len(content) // 2] if failure == "short" else content

    with web_server(tmp_path, send=send) as web:
        yield f"{web.url}/file.bin", failures


@pytest.mark.parametrize("failure", ["closed", "short"])
def test_requests_that_fail_are_repeated(failing, capsys, failure):
    path, failures = failing
    for attempt in (storage.read_bytes, lambda path: storage.read_range(path, 0, len(DATA)), _read_stream):
        # aiohttp itself repeats a request on a connection that was closed while it was idle.
        failures[:] = [failure] * 3
        assert attempt(path) == DATA
    assert f"warning: {path}: the server " in capsys.readouterr().err


def test_server_that_fails_has_no_missing_files(tmp_path, monkeypatch):
    monkeypatch.setattr(retries, "SECONDS", 0.1)

    with web_server(tmp_path, errors={"/busy": 503, "/denied": 403}) as web:
        for name, expected in (
            ("busy", UnavailableError),
            ("denied", UnavailableError),
            ("a", MissingFileError),
        ):
            for attempt in (storage.list_files, storage.read_bytes, storage.open_read, storage.file_info):
                with pytest.raises(GristmillError) as caught:
                    attempt(f"{web.url}/{name}")
                assert type(caught.value) is expected
        assert not storage.exists(f"{web.url}/a")
        with pytest.raises(UnavailableError):
            storage.exists(f"{web.url}/busy")


def _read_stream(path):
    with storage.open_read(path) as stream:
        return b"".join(iter(lambda: stream.read(3_000_000), b""))
