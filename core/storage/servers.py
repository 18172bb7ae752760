"""Reachability of storage servers.

A server is contacted once per process before it is used, so that a wrong address is reported soon and as
such: clients of HDFS repeat failed connections for minutes without a word.
"""

import os
import socket
import time
from functools import cache
from urllib.parse import urlsplit

from core.storage.failures import Failure
from core.storage.retries import Attempts

CONNECT_SECONDS = 10.0
"""Time that a server may take to accept a connection."""
FIRST_CONTACT_SECONDS = 30.0
"""Time in which connections are tried: a server may be restarting, but most often its address is wrong."""
PORTS = {"hdfs": 8020, "http": 80, "https": 443}
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def check_server(path: str) -> None:
    """Raise :class:`~core.errors.UnavailableError` if the server of a remote path accepts no connection."""
    if server := _server(path):
        _connect(*server)


def _server(path: str) -> tuple[str, int] | None:
    """Return host and port of a path's server, or None if the client finds the server by itself.

    That is so for local paths, Amazon's S3 and HDFS name services.
    """
    url = urlsplit(path)
    if url.scheme == "s3":
        endpoint = next(filter(None, map(os.environ.get, S3_ENDPOINTS)), "")
        url = urlsplit(endpoint)
    elif url.scheme == "hdfs" and url.port is None:
        return None
    if url.hostname is None or url.scheme not in PORTS:
        return None
    return url.hostname, url.port or PORTS[url.scheme]


@cache
def _connect(host: str, port: int) -> None:
    attempts = Attempts(f"{host}:{port}", FIRST_CONTACT_SECONDS)
    while True:
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
        except OSError as error:
            wait = attempts.wait_after(_refusal(error))
        else:
            return
        time.sleep(wait)


def _refusal(error: OSError) -> Failure:
    """Describe an error of the first contact."""
    if isinstance(error, socket.gaierror):
        cause = f"this server's name cannot be resolved ({error.strerror})"
        remedy = "check name and network"
        return Failure("transient" if error.errno == socket.EAI_AGAIN else "failed", cause, remedy)
    if isinstance(error, TimeoutError):
        cause = f"this server does not answer within {CONNECT_SECONDS:.0f} s"
        return Failure("transient", cause, "check its address and the network")
    cause = f"this server refuses connections ({error.strerror})"
    return Failure("transient", cause, "check its address, and that it is running")
