"""The process that :mod:`pipeline.extraction.guard` extracts in: ``python -m pipeline.extraction.child FD``.

Parsers written in C can run for ever, fill the memory or overflow their stack, and no exception stops them.
The kernel does: it ends this process when a document has had its share of the processor's time or of memory.
"""

import logging
import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import NamedTuple

from core import config
from pipeline.extraction import extract

_MEMORY = 2 << 30
"""Bytes that this process may allocate: a page of the greatest size, its tree and its text need half."""


class _Request(NamedTuple):
    """A record as it comes through the channel."""

    media: str
    body: bytes | str
    url: str
    charset: str | None
    language: str
    hidden_namespaces: frozenset[str]


def serve(channel: Connection) -> None:
    """Answer each request with what :func:`pipeline.extraction.extract` finds, until the other end closes.

    First come the settings, which are answered by None: this end is ready.
    """
    settings: config.ExtractionConfig = channel.recv()
    channel.send(None)
    while True:
        try:
            request = _Request(*channel.recv())
        except EOFError:
            return
        # Counts the time of the processor: a busy machine drops no more than an idle one. Ends the process.
        signal.setitimer(signal.ITIMER_PROF, settings.max_seconds)
        found = extract(request, settings)
        signal.setitimer(signal.ITIMER_PROF, 0)
        channel.send(found)


def main() -> None:
    """Serve the socket whose descriptor the command line names."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Whoever interrupts the job ends the parent; this ends with it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    logging.disable()  # What parsers say of bad pages is in the ledger.
    serve(Connection(int(sys.argv[1])))


if __name__ == "__main__":
    main()
