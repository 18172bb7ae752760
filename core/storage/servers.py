"""Reachability of storage servers.

A server is contacted once per process before it is used: clients of S3 and HDFS repeat failed connections for
minutes, and fsspec reports an unreachable web server as a missing file.
"""

import os
import socket
import time
from functools import cache
from urllib.parse import urlsplit

from core.errors import InputError

CONNECT_SECONDS = 10.0
"""Time that a server may take to accept a connection."""
CONNECT_ATTEMPTS = 3
PORTS = {"hdfs": 8020, "http": 80, "https": 443}
S3_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def check_server(path: str) -> None:
    """Raise :class:`InputError` if the server of a remote path accepts no connection."""
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
    for attempt in range(CONNECT_ATTEMPTS):
        try:
            socket.create_connection((host, port), CONNECT_SECONDS).close()
        except socket.gaierror as error:
            raise InputError(
                f"{host}: this server's name cannot be resolved ({error.strerror}); check name and network"
            ) from None
        except TimeoutError:
            raise InputError(
                f"{host}:{port}: this server does not answer within {CONNECT_SECONDS:.0f} s; check its "
                "address and the network"
            ) from None
        except OSError as error:
            if attempt == CONNECT_ATTEMPTS - 1:
                raise InputError(
                    f"{host}:{port}: this server refuses connections ({error.strerror}); check its address, "
                    "and that it is running"
                ) from None
            time.sleep(1)  # it may be restarting
        else:
            return
