"""A proxy before an S3 server that disturbs chosen requests: errors, cut connections, delays, slow bodies.

Clients are given the proxy's address as that of the server, so that they sign its host name; all bytes of
requests and responses are forwarded unchanged. The proxy understands as much of HTTP/1.1 as it needs to find
the ends of messages: ``Content-Length`` (which ``aws-chunked`` bodies have), chunked bodies, persistent
connections, ``Expect: 100-continue``. It runs in a thread of its own; rules can be changed at any time.
"""

import asyncio
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from tests.faults.rules import Action, Answer, CutRequest, CutResponse, Delay, Handled, Rule, Throttle

CHUNK = 1 << 16
_LIMIT = 1 << 20
"""Maximum bytes of a head."""
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_DROPPED = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class _CutError(Exception):
    """The connection is to be reset."""


@dataclass(frozen=True, slots=True)
class Head:
    """First line and headers of a message, as they were received."""

    raw: bytes

    @property
    def first(self) -> list[str]:
        """The words of the first line."""
        return self.raw.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)

    @property
    def status(self) -> int:
        return int(self.first[1])

    def header(self, name: str) -> str:
        """Return a header's value in lower case, empty if it is missing."""
        found = re.search(rb"\r\n" + name.encode() + rb":[ \t]*(.*?)[ \t]*\r\n", self.raw, re.I)
        return found[1].decode("latin-1").lower() if found else ""


class Proxy:
    """A running proxy: its address, its rules, and the requests so far."""

    def __init__(self, upstream: str) -> None:
        """``upstream``: ``http://host:port`` of the server."""
        server = urlsplit(upstream)
        self._upstream = (server.hostname, server.port)
        self._rules: list[Rule] = []
        self._puts: dict[str, float] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self.handled: list[Handled] = []
        self.url = ""

    def disturb(self, *rules: Rule) -> None:
        """Replace the rules, of which the first that applies to a request acts, and forget all requests."""
        self._rules = list(rules)
        self._puts = {}
        self.handled = []

    @property
    def disturbed(self) -> list[Handled]:
        """The requests on which a rule has acted."""
        return [each for each in self.handled if each.action]

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        """Accept connections until ``stop`` is set."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_LIMIT)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        async with server:
            await stop.wait()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        try:
            await self._connection(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy ends
        finally:
            await _close(writer)
            self._connections.discard(task)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward the requests of one connection over one connection to the server."""
        with suppress(*_DROPPED, OSError):
            server = await asyncio.open_connection(*self._upstream, limit=_LIMIT)
            try:
                while (head := await _read_head(reader)) and await self._exchange(
                    head, (reader, writer), server
                ):
                    pass
            except _CutError:
                _reset(writer)
            finally:
                await _close(server[1])

    async def _exchange(
        self,
        head: Head,
        client: Stream,
        server: Stream,
    ) -> bool:
        """Handle one request; return True if the connection stays open."""
        method, target, _ = head.first
        action = self._choose(method, target)
        self.handled.append(Handled(time.monotonic(), method, target, action))
        (reader, writer), (from_server, to_server) = client, server
        if isinstance(action, Answer):
            await _drain(head, reader, writer)
            writer.write(_error(action, target, with_body=method != "HEAD"))
            await writer.drain()
            return "close" not in head.header("Connection")
        if isinstance(action, CutRequest) and action.sent is None:
            raise _CutError
        to_server.write(head.raw)
        limit = action.sent if isinstance(action, CutRequest) else None
        sending = asyncio.create_task(_forward_body(_body(head, reader, closes=False), to_server, limit))
        try:
            return await self._respond(head, action, from_server, writer, sending)
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, *_DROPPED, _CutError):
                await sending

    async def _respond(
        self,
        request: Head,
        action: Action | None,
        server: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        sending: "asyncio.Task[None]",
    ) -> bool:
        """Forward the response while the request's body is being sent."""
        receiving = asyncio.create_task(_read_head(server))
        while True:
            await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and (error := sending.exception()):
                receiving.cancel()
                raise error
            if not receiving.done():
                await asyncio.wait({receiving})
            head = receiving.result()
            if not head:
                return False
            if head.status >= 200:
                break
            writer.write(head.raw)
            receiving = asyncio.create_task(_read_head(server))
        if isinstance(action, Delay):
            await asyncio.sleep(action.seconds)
        method, target, _ = request.first
        if method == "PUT" and head.status < 300:
            self._puts[urlsplit(target).path] = time.monotonic()
        has_body = method != "HEAD" and head.status not in (204, 304)
        if isinstance(action, CutResponse) and (action.sent is None or not has_body):
            raise _CutError
        writer.write(head.raw)
        if has_body:
            limit = action.sent if isinstance(action, CutResponse) else None
            rate = action.rate if isinstance(action, Throttle) else None
            await _forward_body(_body(head, server, closes=True), writer, limit, rate)
        await writer.drain()
        framed = not has_body or head.header("Content-Length") or head.header("Transfer-Encoding")
        closing = "close" in head.header("Connection") or "close" in request.header("Connection")
        return bool(framed) and not closing and sending.done()

    def _choose(self, method: str, target: str) -> Action | None:
        put = self._puts.get(urlsplit(target).path)
        since = None if put is None else time.monotonic() - put
        return next((rule.action for rule in self._rules if rule.applies(method, target, since)), None)


@contextmanager
def proxy(upstream: str) -> Iterator[Proxy]:
    """Run a proxy before the server at ``http://host:port`` during the block."""
    made, started, stop = Proxy(upstream), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    def run() -> None:
        try:
            loop.run_until_complete(made.serve(started, stop))
        finally:
            loop.close()

    thread = threading.Thread(target=run, name="proxy", daemon=True)
    thread.start()
    assert started.wait(10), "the proxy does not start"
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def _read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read first line and headers; None if the connection ends before."""
    try:
        return Head(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError:
        return None


async def _body(head: Head, reader: asyncio.StreamReader, *, closes: bool) -> AsyncIterator[bytes]:
    """Yield the bytes of a body, with the frames of a chunked one. ``closes``: its end may be that of all."""
    if "chunked" in head.header("Transfer-Encoding"):
        async for part in _chunks(reader):
            yield part
        return
    length = head.header("Content-Length")
    left = int(length) if length else (1 << 62 if closes else 0)
    while left:
        if not (data := await reader.read(min(left, CHUNK))):
            if length:
                raise asyncio.IncompleteReadError(b"", left)
            return
        left -= len(data)
        yield data


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = await reader.readuntil(b"\r\n")
        yield size
        if not (length := int(size.split(b";")[0], 16)):
            break
        yield await reader.readexactly(length + 2)
    while (trailer := await reader.readuntil(b"\r\n")) != b"\r\n":
        yield trailer
    yield b"\r\n"


async def _forward_body(
    parts: AsyncIterator[bytes],
    writer: asyncio.StreamWriter,
    limit: int | None = None,
    rate: int | None = None,
) -> None:
    """Forward a body, at ``rate`` bytes per second; raise :class:`_CutError` after ``limit`` bytes."""
    held, sent = b"", 0
    async for part in parts:
        data = held + part
        if limit is not None and sent + len(data) > limit:
            writer.write(data[: max(0, limit - sent)])
            await writer.drain()
            await asyncio.sleep(0.05)  # so that what was sent arrives before the reset
            raise _CutError
        if limit is not None:  # the last byte is held back, in case the body ends before the limit
            data, held = data[:-1], data[-1:]
        if rate is not None:
            await _write_slowly(writer, data, rate)
        else:
            writer.write(data)
            await writer.drain()
        sent += len(data)
    if limit is not None:
        raise _CutError


async def _write_slowly(writer: asyncio.StreamWriter, data: bytes, rate: int) -> None:
    step = max(1, rate // 20)
    for first in range(0, len(data), step):
        writer.write(data[first : first + step])
        await writer.drain()
        await asyncio.sleep(len(data[first : first + step]) / rate)


async def _drain(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read a request's body, so that a client that sends before it reads sees the answer and no reset."""
    if "100-continue" in head.header("Expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for _ in _body(head, reader, closes=False):
        pass


def _error(answer: Answer, target: str, *, with_body: bool) -> bytes:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{answer.code}</Code><Message>{escape(answer.message)}</Message>"
        f"<Resource>{escape(urlsplit(target).path)}</Resource><RequestId>0</RequestId></Error>"
    ).encode()
    head = (
        f"HTTP/1.1 {answer.status} {answer.code}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(body) if with_body else 0}\r\nx-amz-request-id: 0\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by a reset, as a broken one ends."""
    connection = writer.get_extra_info("socket")
    if connection is not None:
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
