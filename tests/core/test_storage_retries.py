"""Requests to S3 that fail: some are repeated, others reported at once, and none is taken for absence."""

import pytest

from core import storage
from core.errors import GristmillError, InputError, MissingFileError, OutputError, UnavailableError
from core.storage import failures, retries
from tests.servers.faulty_s3 import CUT, LOST, FaultyS3, faulty_s3

DATA = bytes(range(256)) * 60_000
TRANSIENT = [
    (503, "SlowDown"),
    (500, "InternalError"),
    (400, "RequestTimeout"),
    (403, "RequestTimeTooSkewed"),
    (),
]
PERMANENT = [
    ((403, "AccessDenied"), r"access is denied \(injected fault\); check path, permissions and credentials"),
    ((400, "ExpiredToken"), r"the AWS credentials have expired \(ExpiredToken\); renew them"),
    (
        (403, "InvalidAccessKeyId"),
        r"the AWS credentials are refused \(InvalidAccessKeyId\); check AWS_",
    ),
    ((404, "NoSuchBucket"), "no such bucket; check its name and AWS_ENDPOINT_URL"),
    ((400, "InvalidArgument"), r"the server refuses the request \(InvalidArgument: injected fault\); check"),
]

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def module_server():
    with faulty_s3() as server:
        yield server


@pytest.fixture
def server(module_server: FaultyS3, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retries, "SECONDS", 5.0)
    storage.write_atomic(f"{module_server.root}/a/file", DATA)
    yield module_server
    module_server.faults.clear()
    storage.remove(f"{module_server.root}/a")


def give_up(monkeypatch):
    monkeypatch.setattr(retries, "SECONDS", 0.1)


@pytest.mark.parametrize("answer", TRANSIENT)
def test_reads_are_repeated_with_a_warning(server, capsys, answer):
    path = f"{server.root}/a/file"
    server.fail("GET", *answer)
    assert storage.read_bytes(path) == DATA
    assert [line.partition(" ")[0] for line in server.requests] == ["HEAD", "GET", "GET"] or not answer
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: {path}: the server ")
    assert "attempt 1 failed, the next in 0.0 s" in warning
    server.fail("GET", *answer, times=2)
    assert storage.read_range(path, 1000, 5000) == DATA[1000:6000]
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("answer", TRANSIENT)
def test_stream_repeats_the_range_that_failed(server, answer):
    with storage.open_read(f"{server.root}/a/file") as stream:
        first = stream.read(3_000_000)
        server.fail("GET", *answer)
        rest = b"".join(iter(lambda: stream.read(1 << 20), b""))
        assert first + rest == DATA
        stream.seek(0)
        server.fail("GET", *answer)
        assert stream.read() == DATA


def test_streams_raise_errors_of_ours(server, monkeypatch):
    give_up(monkeypatch)
    for answer, expected in (((503, "SlowDown"), UnavailableError), ((404, "NoSuchKey"), MissingFileError)):
        with storage.open_read(f"{server.root}/a/file") as stream:
            server.fail("GET", *answer, times=99)
            with pytest.raises(expected):
                stream.read()
            server.faults.clear()


def test_file_that_is_replaced_while_it_is_read_is_an_error(server):
    path = f"{server.root}/a/file"
    with storage.open_read(path) as stream:
        stream.read(1)
        storage.write_atomic(path, DATA[::-1])
        stream.seek(len(DATA) - 5)
        with pytest.raises(UnavailableError, match="was replaced while it was read; leave it unchanged"):
            stream.read(5)


@pytest.mark.parametrize(("answer", "message"), PERMANENT)
def test_permanent_failures_are_reported_at_once(server, capsys, answer, message):
    path = f"{server.root}/a/file"
    for attempt in (lambda: storage.read_range(path, 0, 5), lambda: storage.list_files(f"{server.root}/a")):
        server.fail("GET", *answer, times=99)
        with pytest.raises(GristmillError, match=f"{message}") as caught:
            attempt()
        server.faults.clear()
        assert len(server.requests) <= 2 and "\n" not in str(caught.value)
        assert not isinstance(caught.value, MissingFileError)
    server.fail("PUT", *answer, times=99)
    with pytest.raises(OutputError, match=message):
        storage.write_atomic(path, b"new")
    assert capsys.readouterr().err == ""


def test_missing_file_is_reported_at_once(server, capsys):
    for attempt in (storage.read_bytes, storage.open_read, storage.file_info, storage.list_files):
        with pytest.raises(MissingFileError):
            attempt(f"{server.root}/a/none")
    assert capsys.readouterr().err == ""


def test_repeated_failures_end_with_the_number_of_attempts(server, monkeypatch):
    give_up(monkeypatch)
    server.fail("GET", 503, "SlowDown", times=999)
    expected = (
        r"a/file: the server is busy or failing \(SlowDown: .*\), after \d+ attempts? in \d+ s; run again"
    )
    with pytest.raises(UnavailableError, match=expected):
        storage.read_range(f"{server.root}/a/file", 0, 5)


@pytest.mark.parametrize("pattern", ["a", "a/*", "*/file", "a/f*", "**/file", "[a]/file"])
def test_listing_that_fails_is_not_empty(server, monkeypatch, pattern):
    path = f"{server.root}/{pattern}"
    server.fail("list-type=2", 503, "SlowDown")
    assert [file.path for file in storage.list_files(path)] == [f"{server.root}/a/file"]
    give_up(monkeypatch)
    for answer in ((503, "SlowDown"), (403, "AccessDenied")):
        server.fail("list-type=2", *answer, times=999)
        with pytest.raises(UnavailableError):
            storage.list_files(path)
        server.faults.clear()


def test_page_of_a_listing_is_repeated_alone(server):
    for number in range(3):
        storage.write_atomic(f"{server.root}/a/pages/{number}", b"x")
    fs, inner = storage.filesystem(server.root)
    request = {"Bucket": inner, "Prefix": "a/pages/", "MaxKeys": 2}
    server.fail("continuation-token", 503, "SlowDown")
    first = fs.call_s3("list_objects_v2", **request)
    second = fs.call_s3("list_objects_v2", ContinuationToken=first["NextContinuationToken"], **request)
    assert [len(page["Contents"]) for page in (first, second)] == [2, 1]
    assert ["continuation-token" in line for line in server.requests] == [False, True, True]


def test_failure_is_not_taken_for_absence(server, monkeypatch):
    give_up(monkeypatch)
    for path in (f"{server.root}/a/file", f"{server.root}/a", server.root):
        for answer in ((503, "SlowDown"), (403, "AccessDenied")):
            server.fail("HEAD", *answer, times=999)
            with pytest.raises(UnavailableError):
                storage.exists(path)
            server.faults.clear()
        assert storage.exists(path)
    with pytest.raises(InputError, match="no such bucket"):
        storage.exists("s3://gristmill-no-bucket/a")
    assert not storage.exists(f"{server.root}/a/none")


@pytest.mark.parametrize("answer", [(400, "BadDigest"), (412, "PreconditionFailed"), (400, "IncompleteBody")])
def test_only_the_end_of_the_file_is_an_empty_range(server, monkeypatch, answer):
    give_up(monkeypatch)
    path = f"{server.root}/a/file"
    assert storage.read_range(path, len(DATA) + 5, 5) == b""
    server.fail("GET", *answer, times=999)
    with pytest.raises(UnavailableError):
        storage.read_range(path, 0, 5)


def test_parts_of_an_upload_are_repeated(server, tmp_path):
    (tmp_path / "big").write_bytes(DATA * 8)
    server.fail("partNumber=2", 503, "SlowDown", times=2)
    storage.upload(str(tmp_path / "big"), f"{server.root}/a/big")
    assert storage.file_info(f"{server.root}/a/big").size == len(DATA) * 8
    assert sum("partNumber=1&" in line or line.endswith("partNumber=1") for line in server.requests) == 1


def test_upload_whose_end_is_not_confirmed_is_repeated(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(retries, "SECONDS", 0.0)  # an attempt may last longer, and is repeated all the same
    (tmp_path / "big").write_bytes(DATA * 8)
    server.fail("POST /gristmill-faults/a/big?uploadId", *LOST)
    server.fail("POST /gristmill-faults/a/big?uploadId", 404, "NoSuchUpload")  # as most servers say then
    storage.upload(str(tmp_path / "big"), f"{server.root}/a/big")
    assert storage.checksum(f"{server.root}/a/big") == storage.checksum(str(tmp_path / "big"))
    assert "the end of an upload was not confirmed" in capsys.readouterr().err
    assert _uploads(server) == []


def test_download_is_repeated(server, tmp_path):
    server.fail("GET", *CUT)
    storage.download(f"{server.root}/a/file", str(tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.parametrize(("code", "succeeds"), [("InternalError", True), ("AccessDenied", False)])
def test_errors_of_single_removals_are_not_ignored(server, code, succeeds):
    error = f"<Error><Key>a/file</Key><Code>{code}</Code><Message>no</Message></Error>"
    answer = f"<DeleteResult>{error}</DeleteResult>"
    server.fail("POST", 200, answer)
    if succeeds:
        storage.remove(f"{server.root}/a")
        assert not storage.exists(f"{server.root}/a/file")
    else:
        with pytest.raises(OutputError, match=r"access is denied \(no\)"):
            storage.remove(f"{server.root}/a")


@pytest.mark.parametrize("size", [5, 70 << 20])
def test_file_of_a_failed_block_does_not_appear(server, size):
    path = f"{server.root}/a/written"
    with pytest.raises(ZeroDivisionError), storage.open_write(path) as stream:
        stream.write(bytes(size))
        raise ZeroDivisionError
    assert not storage.exists(path)
    assert _uploads(server) == []
    with storage.open_write(path) as stream:
        stream.write(bytes(size))
    assert storage.file_info(path).size == size


def test_only_uploads_below_the_folder_are_aborted(server):
    fs, inner = storage.filesystem(server.root)
    for key in ("a/out/1", "a/out/b/2", "a/output", "a/other"):
        fs.call_s3("create_multipart_upload", Bucket=inner, Key=key)
    assert storage.abort_uploads(f"{server.root}/a/out") == 2
    assert _uploads(server) == ["a/other", "a/output"]
    assert storage.abort_uploads(f"{server.root}/a") == 2
    assert storage.abort_uploads("/tmp") == 0


def test_uploads_that_may_not_be_listed_stop_nothing(server, capsys):
    server.fail("uploads", 403, "AccessDenied")
    assert storage.abort_uploads(f"{server.root}/a") == 0
    assert "warning: uploads of killed jobs are not looked for: s3://" in capsys.readouterr().err


def _uploads(server):
    fs, inner = storage.filesystem(server.root)
    answer = fs.call_s3("list_multipart_uploads", Bucket=inner)
    return sorted(upload["Key"] for upload in answer.get("Uploads", ()))


def test_limited_time_ends_retries_in_the_loop_of_the_client(server):
    path = f"{server.root}/a/file"
    server.fail("HEAD", 503, "SlowDown")
    with retries.limited(0.0), pytest.raises(GristmillError, match="after 1 attempt in 0 s"):
        storage.exists(path)
    server.fail("HEAD", 503, "SlowDown")
    with retries.limited(60.0):
        assert storage.exists(path)


def test_limits_of_inner_blocks_are_no_longer(monkeypatch):
    with retries.limited(0.0), retries.limited(60.0):
        attempts = retries.Attempts("s3://b/k")
    with pytest.raises(UnavailableError, match="busy, after 1 attempt in 0 s; wait"):
        attempts.wait_after(failures.Failure("transient", "busy", "wait"))


def test_waiting_times_double_up_to_a_bound(monkeypatch, capsys):
    waits = []
    monkeypatch.setattr(retries.random, "uniform", lambda low, high: waits.append((low, high)) or 0.0)
    attempts = retries.Attempts("s3://b/k")
    for _ in range(9):
        attempts.wait_after(failures.Failure("transient", "busy", "wait"))
    assert waits[:3] == [(0, 0.2), (0, 0.4), (0, 0.8)] and waits[-1] == (0, retries.LONGEST_WAIT)
    assert capsys.readouterr().err.count("warning: s3://b/k: busy; attempt ") == 9
