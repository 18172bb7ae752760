"""Failures of storage: one line with the path, the cause and the remedy, without long waiting."""

import errno
import socket

import pytest

from core import storage
from core.errors import GristmillError, InputError, MissingFileError, OutputError, UnavailableError
from core.storage import failures, servers
from core.storage.s3 import S3
from core.storage.web import Web


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setattr(servers, "FIRST_CONTACT_SECONDS", 0.5)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    servers._connect.cache_clear()
    S3.clear_instance_cache()  # instances keep the credentials of their first use
    yield
    S3.clear_instance_cache()


@pytest.fixture
def closed_port():
    """A port on which nothing listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.mark.parametrize("operation", [storage.exists, storage.scan, storage.read_bytes, storage.file_info])
@pytest.mark.parametrize("url", ["hdfs://127.0.0.1:{}/a", "http://127.0.0.1:{}/a"])
def test_unreachable_servers_are_named(closed_port, url, operation):
    with pytest.raises(
        UnavailableError, match=rf"127.0.0.1:{closed_port}: this server refuses connections .*; check"
    ):
        operation(url.format(closed_port))


def test_an_unreachable_s3_endpoint_is_named(closed_port, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed_port}")
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{closed_port}: this server refuses connections"):
        storage.write_atomic("s3://bucket/a", b"")


def test_unknown_hosts_are_named():
    with pytest.raises(UnavailableError, match=r"host.invalid:443: .* name cannot be resolved .*; check"):
        storage.read_bytes("https://host.invalid/a")


@pytest.mark.parametrize("path", ["hdfs:///a", "hdfs://unknown/a"])
def test_hdfs_without_a_name_node_is_refused(path, monkeypatch):
    monkeypatch.delenv("HADOOP_CONF_DIR", raising=False)
    with pytest.raises(InputError, match=f"{path}: the client finds no NameNode .*; write hdfs://HOST:PORT/"):
        storage.exists(path)


def test_missing_credentials_are_reported_with_the_public_mirror():
    with pytest.raises(
        UnavailableError, match="s3://private/a: no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_"
    ):
        storage.read_bytes("s3://private/a")
    with pytest.raises(
        UnavailableError, match=r"no AWS credentials; .*, or read https://data.commoncrawl.org/, which"
    ):
        storage.read_bytes("s3://commoncrawl/a")


@pytest.mark.parametrize("path", ["gs://bucket/a", "ftp2://host/a", "x://y"])
def test_unsupported_schemes_name_the_supported_ones(path):
    with pytest.raises(InputError, match="; use a local path, s3://, hdfs:// or https://"):
        storage.exists(path)


@pytest.mark.parametrize(
    "path", ["/proc/nothing/a", "/dev/null/a", f"/tmp/{'long' * 100}/a", "https://localhost/a"]
)
def test_unwritable_paths_are_refused(path):
    with pytest.raises(OutputError, match=rf"^{path}: .*; c"):
        storage.write_atomic(path, b"data")


def test_programming_errors_pass(monkeypatch, tmp_path):
    monkeypatch.setattr("core.storage.filesystem", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        storage.exists(str(tmp_path))


def test_refusals_by_hdfs_are_reported_without_the_stack_trace():
    trace = r"Invalid file name: /a:b\n\tat org.apache.hadoop.FSDirectory.resolvePath(FSDirectory.java:732)"

    @failures.reporting_writes
    def write(_):
        raise RuntimeError(f'RPCError("org.apache.hadoop.fs.InvalidPathException", "{trace}")')

    expected = r"^hdfs://h:1/a:b: HDFS refuses it \(InvalidPathException: Invalid file name: /a:b\); check"
    with pytest.raises(OutputError, match=expected):
        write("hdfs://h:1/a:b")


def refusal(name):
    """Return an error of hdfs-native for a Java exception of the NameNode."""
    return RuntimeError(f'RPCError("org.apache.hadoop.{name}", "why")')


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("/a"), "missing"),
        (PermissionError("/a"), "denied"),
        (refusal("security.AccessControlException"), "denied"),
        (refusal("hdfs.server.namenode.SafeModeException"), "transient"),
        (refusal("ipc.StandbyException"), "transient"),
        (refusal("hdfs.protocol.NSQuotaExceededException"), "refused"),
        (RuntimeError('DataTransferError("Failed to connect to DataNode")'), "transient"),
        (OSError("Connection refused (os error 111)"), "transient"),  # hdfs-native gives no number
        (RuntimeError('SASLError("no ticket")'), "failed"),
        (ZeroDivisionError(), None),
    ],
)
def test_failures_of_hdfs_are_told_apart(error, kind):
    failure = failures.describe("hdfs://h:1/a", error)
    assert (failure and failure.kind) == kind


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, MissingFileError),
        (errno.EACCES, InputError),
        (errno.ENAMETOOLONG, InputError),
        (errno.EIO, UnavailableError),
        (errno.EMFILE, UnavailableError),
        (errno.ESTALE, UnavailableError),
    ],
)
def test_failing_local_disk_is_not_a_bad_input(number, expected):
    @failures.reporting
    def read(_):
        raise OSError(number, "cause")

    with pytest.raises(GristmillError, match=r"^/a: .*; ") as caught:
        read("/a")
    assert type(caught.value) is expected


@pytest.mark.parametrize("path", ["s3://bucket/a", "hdfs://server/a", "https://server/a"])
def test_full_local_disk_is_no_failure_of_a_server(path):
    """Such as that of the cache, to which remote files are copied."""
    failure = failures.describe(path, OSError(errno.ENOSPC, "No space left on device"))
    assert failure == failures.Failure(
        "failed", "No space left on device", "free space and run the command again"
    )


def test_settings_of_fsspec_are_merged_with_ours():
    """Path-style addresses and proxies are set by FSSPEC_S3 and FSSPEC_HTTPS."""
    web = Web(client_kwargs={"trust_env": True})
    assert web.client_kwargs["trust_env"] and web.client_kwargs["timeout"]
    s3 = S3(config_kwargs={"s3": {"addressing_style": "path"}}, skip_instance_cache=True)
    assert s3.config_kwargs["s3"] == {"addressing_style": "path"}
    assert s3.config_kwargs["retries"]["total_max_attempts"] == 1
