"""Credentials of web servers are given in fsspec's variables, not in addresses."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.commands import ROOT

AUTHORIZATION = f"Basic {base64.b64encode(b'user:pa55').decode()}"
READ = "import sys; from core import storage; print(storage.read_range(sys.argv[1], 2, 3).decode())"


@pytest.fixture
def server():
    """A server that requires a user and a password."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.headers.get("Authorization") != AUTHORIZATION:
                self.send_error(401)
                return
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            data = b"0123456789"[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            """Disable the request log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/file"
        finally:
            running.shutdown()
            thread.join()


def _read(url, **variables):
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run([sys.executable, "-c", READ, url], env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("variable", ["FSSPEC_HTTPS", "FSSPEC_HTTP"])
def test_headers_are_sent_to_web_servers(server, variable):
    done = _read(server, **{variable: json.dumps({"headers": {"Authorization": AUTHORIZATION}})})
    assert (done.stdout, done.stderr) == ("234\n", "")


def test_without_them_the_server_refuses(server):
    assert "401" in _read(server).stderr
