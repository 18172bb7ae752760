"""Extraction in a process of its own, so that no document takes its task along.

A page whose parsing takes too long, fills the memory or crashes costs that process, which is replaced, and is
dropped with the reason. Passing a page there and back takes some 50 microseconds.
"""

import atexit
import os
import signal
import subprocess
import sys
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from core import config
from pipeline.extraction import Extracted, Raw
from pipeline.ledger import Drop, Reason


class Guard:
    """Extracts as :func:`pipeline.extraction.extract` does, within limits. Not for several threads at once.

    The process starts with the first document, and ends when this object is closed or this process ends,
    however it ends.
    """

    def __init__(self, settings: config.ExtractionConfig) -> None:
        self._settings = settings
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    def extract(self, record: Raw) -> Extracted | Drop:
        """A record's text, or the reason why there is none: also that it took too long or ended its process.

        Raises ChildProcessError if no process can be started.
        """
        _, channel = self._child = self._child or self._start()
        try:
            channel.send(
                (
                    record.media,
                    record.body,
                    record.url,
                    record.charset,
                    record.language,
                    record.hidden_namespaces,
                )
            )
            found: Extracted | Drop = channel.recv()
        except (EOFError, OSError):
            if self.close() == -signal.SIGPROF:
                return Drop(Reason.TOO_SLOW, None, self._settings.max_seconds)
            return Drop(Reason.CRASHED)
        return found

    def close(self) -> int:
        """End the process, if there is one, and give its exit code."""
        if self._child is None:
            return 0
        process, channel = self._child
        self._child = None
        channel.close()
        return process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        """A process that is ready, and the channel to it."""
        channel, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.extraction.child", str(theirs.fileno())],
                # Spark adds to its workers' path only. One thread, for other tasks have the other cores.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        try:
            channel.send(self._settings)
            channel.recv()
        except (EOFError, OSError):
            channel.close()
            raise ChildProcessError(
                f"{sys.executable} -m pipeline.extraction.child: ended with code {process.wait()} before it "
                "was ready; its own message stands above"
            ) from None
        return process, channel


@cache
def guard(settings: config.ExtractionConfig) -> Guard:
    """The guard with these settings that all tasks share which run in this process, one after the other."""
    made = Guard(settings)
    atexit.register(made.close)
    return made
