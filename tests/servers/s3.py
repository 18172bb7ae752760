"""An S3 server on loopback: moto's, in a child process."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.storage.s3 import S3
from tests.servers.process import free_port, running, wait_until

BUCKET = "gristmill-test"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Serve an empty bucket, set the ``AWS_*`` variables for the server, and yield ``s3://bucket``."""
    port, log = free_port(), folder / "s3.log"
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log, os.environ) as process, pytest.MonkeyPatch.context() as patch:
        wait_until(lambda: _is_ready(url), process, log, 60)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        S3.clear_instance_cache()  # instances keep the server of their first use
        S3(use_listings_cache=False).mkdir(BUCKET)
        yield f"s3://{BUCKET}"
        S3.clear_instance_cache()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/moto-api/", timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
