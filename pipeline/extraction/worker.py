"""The worker process of :mod:`pipeline.extraction.guard`: ``python -m pipeline.extraction.worker FD``.

Parsers written in C can loop forever, exhaust memory or overflow the stack, and no exception stops them. The
kernel does: it ends this process when a document exceeds its share of CPU time or memory.
"""

import logging
import resource
import signal
import sys
from datetime import datetime
from multiprocessing.connection import Connection
from typing import NamedTuple

from core import config
from pipeline.extraction import extract

_MAX_MEMORY = 2 << 30
"""Bytes that this process may allocate. A page of the maximum size, its tree and its text need half of it."""


class _Request(NamedTuple):
    """A record as sent over the channel."""

    media: str
    body: bytes | str
    url: str
    charset: str | None
    language: str
    title: str
    fetched_at: datetime | None
    hidden_namespaces: frozenset[str]


def serve(channel: Connection) -> None:
    """Answer each request with the result of :func:`pipeline.extraction.extract` until the channel is closed.

    The first message holds the settings; the answer None signals that the worker is ready.
    """
    settings: config.ExtractionConfig = channel.recv()
    channel.send(None)
    while True:
        try:
            request = _Request(*channel.recv())
        except EOFError:
            return
        # CPU time, not wall time: a busy machine drops no more than an idle one. SIGPROF ends the process.
        signal.setitimer(signal.ITIMER_PROF, settings.max_seconds)
        found = extract(request, settings)
        signal.setitimer(signal.ITIMER_PROF, 0)
        channel.send(found)


def main() -> None:
    """Serve the socket whose file descriptor is given on the command line."""
    # Ctrl-C ends the parent, and the closed channel ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    logging.disable()  # The ledger records what is wrong with a page; the parsers' own messages add nothing.
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
