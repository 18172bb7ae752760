"""Find a package's file on the configured package index, and download it.

Only the standard library and pip's settings are used, so that the set-up of the environment can call
``python -m demo.index`` for the address before anything is installed. The address is uv's, if the environment
sets one, otherwise pip's.
"""

import base64
import hashlib
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit

from core.errors import InputError, run

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
"""JSON form of the simple API (PEP 691), otherwise its HTML form (PEP 503)."""
CHUNK = 1 << 18
"""Bytes read between two progress reports."""
ATTEMPTS = 3
TIMEOUT = 60
"""Seconds without a response after which an attempt fails."""

PIP_INDEX = """
from pip._internal.commands import create_command
print(create_command("download").parse_args([])[0].index_url)
"""
"""Program that prints the index that pip would use."""

Progress = Callable[[int, int], None]
"""Called with the bytes received so far and the bytes expected."""


def address() -> str:
    """Return the address of the simple API, without trailing slash; :class:`InputError` without pip."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if value := os.environ.get(variable):
            return re.sub(r"^[\w.-]+=(?=https?:)", "", value).rstrip("/")  # uv allows NAME=ADDRESS
    # In a process of its own, because importing pip replaces distutils for everything else in this one.
    done = subprocess.run([sys.executable, "-c", PIP_INDEX], capture_output=True, text=True)
    if done.returncode:
        raise InputError(
            f"{sys.prefix}: has no pip, whose settings name the package index; run `make setup`, which "
            "installs an environment, or name the index in UV_DEFAULT_INDEX"
        )
    return done.stdout.strip().rstrip("/")


def find(project: str, file: str) -> str:
    """Return the download address of a project's file. Raises :class:`InputError` if the index lacks it."""
    with _open(f"{address()}/{project}/", ACCEPT) as response:
        body, here = response.read(), response.geturl()
        is_json = "json" in response.headers.get("Content-Type", "")
    links = _json_links(body) if is_json else _html_links(body)
    if file not in links:
        raise InputError(
            f"{file}: the package index does not offer this file of {project}; use an index that has it "
            "(UV_DEFAULT_INDEX or pip's index-url)"
        )
    return urljoin(here, links[file])


def download(url: str, path: Path, sha256: str, progress: Progress) -> None:
    """Download ``url`` to ``path``, which is created only if its SHA-256 is the expected one.

    Raises :class:`InputError` after three failed attempts, or for unexpected content.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        digest = _receive(url, temporary, progress)
        if digest != sha256:
            raise InputError(
                f"{path.name}: downloaded with SHA-256 {digest[:12]}…, but {sha256[:12]}… is pinned; "
                "the index serves another file: use one that serves the original"
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _receive(url: str, path: Path, progress: Progress) -> str:
    """Write the response body to ``path`` and return its SHA-256."""
    digest, received = hashlib.sha256(), 0
    with _open(url, "*/*") as response, path.open("wb") as stream:
        expected = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(CHUNK):
            stream.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            progress(received, expected)
    return digest.hexdigest()


def _open(url: str, accept: str) -> HTTPResponse:
    """Send a GET request, up to three times. Proxies and SSL_CERT_FILE of the environment are used."""
    request = _request(url, accept)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            response = urllib.request.urlopen(request, timeout=TIMEOUT, context=_trust())
            return cast(HTTPResponse, response)
        except (urllib.error.URLError, HTTPException, OSError) as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if refused or attempt == ATTEMPTS:
                raise InputError(
                    f"{request.full_url}: {error}; check the network, the proxy and the package index "
                    "(UV_DEFAULT_INDEX or pip's index-url)"
                ) from None
            time.sleep(attempt)
    raise AssertionError("the last attempt returns or raises")


def _request(url: str, accept: str) -> urllib.request.Request:
    """Build a request; credentials in the address are moved into a header."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise InputError(f"{url}: not an http address; name a package index that is served over https")
    credentials, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=host)), headers={"Accept": accept})
    if credentials:
        token = base64.b64encode(unquote(credentials).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    return request


def _trust() -> ssl.SSLContext:
    """Return the system's certificate authorities and, where installed, those of certifi."""
    context = ssl.create_default_context()
    try:
        import certifi
    except ImportError:
        return context
    context.load_verify_locations(certifi.where())
    return context


def _json_links(body: bytes) -> dict[str, str]:
    return {file["filename"]: file["url"] for file in json.loads(body)["files"]}


def _html_links(body: bytes) -> dict[str, str]:
    links = _Anchors()
    links.feed(body.decode("utf-8", "replace"))
    return links.found


class _Anchors(HTMLParser):
    """Collect the targets of a page's links by their last path component."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a link's target without its ``#sha256=…``."""
        if tag == "a" and (target := dict(attrs).get("href")):
            plain = urldefrag(target).url
            self.found[unquote(plain.rpartition("/")[2])] = plain


if __name__ == "__main__":
    run(lambda _: print(address()))
