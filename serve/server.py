"""The HTTP server process: listen, drain on SIGTERM, stop."""

import errno
import os
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from core.errors import InputError
from serve.protocol import HttpProtocol
from serve.service import Service

SHUTDOWN_SECONDS = 2
"""Time to close the responses that are cut off at the end of draining."""

KEEP_ALIVE_SECONDS = 75
"""Time that an idle connection stays open: longer than clients reuse theirs, or requests would be lost."""


class Server(uvicorn.Server):
    """Server that finishes running requests after the first signal and stops at the second.

    Draining takes at most ``serve.drain_seconds``, measured by ``clock``.
    """

    def __init__(
        self, app: ASGIApp, service: Service, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._service = service
        self._clock = clock
        self._drain_deadline = 0.0
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                lifespan="off",
                ws="none",
                http=HttpProtocol,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, stop at the second."""
        if self._service.state == "draining":
            super().handle_exit(sig, frame)
        self._service.state = "draining"
        self._drain_deadline = self._clock() + self._service.settings.drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Return True to stop; called several times a second."""
        if self._service.state == "draining":
            expired = self._clock() > self._drain_deadline
            self.should_exit = self.should_exit or expired or not self._service.active_requests
        return await super().on_tick(counter)


def listen(host: str, port: int, unread_seconds: float = 0) -> socket.socket:
    """Return a listening socket. Raises :class:`InputError` if the address cannot be used.

    Linux closes a connection whose client reads nothing for ``unread_seconds`` (0: never), also if its
    response was sent as far as the server knows.
    """
    if not 0 <= port < 1 << 16:
        raise InputError(f"{host}:{port}: a port is a number from 0 to 65535; choose another --port")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"{host}:{port}: address already in use; choose another --port") from None
        # The error of a bound socket repeats the address in its own text.
        is_name = isinstance(error, socket.gaierror)
        reason = error.strerror if is_name else os.strerror(error.errno or errno.EINVAL)
        raise InputError(f"{host}:{port}: cannot listen there: {reason}; choose another --host") from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = min(int(1000 * unread_seconds), (1 << 31) - 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return listener


def url(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
