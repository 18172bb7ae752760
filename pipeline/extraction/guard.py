"""Extraction in a worker process, so that one bad document cannot fail the task.

A page whose parsing takes too long, exhausts memory or crashes ends the worker process. The page is dropped
with the reason, and the worker is replaced. If a worker is killed from outside, as by a machine that runs out
of memory, that says nothing about its page: a new worker extracts it. Passing a page to the worker and its
text back costs about 50 microseconds. Short plain texts need no worker.
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
from pipeline.extraction import Extracted, RawRecord, extract
from pipeline.ledger import Drop, Reason

MAX_SILENCE = 600.0
"""Seconds of wall time after which a worker counts as hung. Its own, shorter limit is on CPU time."""

SHORT_TEXT = 16_000
"""Length of the longest plain text that is processed without a worker. Normalization sorts combining marks in
quadratic time: a text of nothing else takes a quarter of a second."""

_HUNG = -signal.SIGALRM
"""Stands for the exit code of a worker that did not answer, and was killed for that."""
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)
"""Exit codes of a worker that another process or the kernel has ended."""


class Guard:
    """Runs :func:`pipeline.extraction.extract` in a worker process, within limits. Not thread-safe.

    The worker starts with the first document that needs it. It ends when the guard is closed or the parent
    process ends, even if the parent is killed.
    """

    def __init__(self, settings: config.ExtractionConfig) -> None:
        self._settings = settings
        self._worker: tuple[subprocess.Popen[bytes], Connection] | None = None

    def extract(self, record: RawRecord) -> Extracted | Drop:
        """Return a record's text, or the reason for dropping it, such as a timeout or a crash of the worker.

        A worker that hangs is replaced once, too. Raises ChildProcessError if no worker can be started, or if
        two in a row are killed from outside with this record: the task is to be repeated then, since a drop
        would depend on the machine.
        """
        if record.media == "text" and len(record.body) <= SHORT_TEXT:
            return extract(record, self._settings)
        for _ in range(2):
            found = self._request(record)
            if not isinstance(found, int):
                return found
            if found == -signal.SIGPROF:
                return Drop(Reason.TOO_SLOW, None, self._settings.max_seconds)
            if found not in (_HUNG, *_FROM_OUTSIDE):
                return Drop(Reason.CRASHED)
        if found == _HUNG:
            return Drop(Reason.TOO_SLOW, None, self._settings.max_seconds)
        raise ChildProcessError(
            f"{record.url or 'a page'}: two extraction processes were killed from outside; give executors "
            "more memory outside of the JVM (spark.executor.memoryOverhead), or fewer tasks at once"
        )

    def _request(self, record: RawRecord) -> Extracted | Drop | int:
        """Return the worker's answer, or its exit code if it ended instead."""
        process, channel = self._worker = self._worker or self._start()
        try:
            channel.send(
                (
                    record.media,
                    record.body,
                    record.url,
                    record.charset,
                    record.language,
                    record.title,
                    record.fetched_at,
                    record.hidden_namespaces,
                )
            )
            if not channel.poll(MAX_SILENCE):
                process.kill()
                self.close()
                return _HUNG
            found: Extracted | Drop = channel.recv()
        except (EOFError, OSError):
            return self.close()
        return found

    def close(self) -> int:
        """End the worker, if there is one, and return its exit code."""
        if self._worker is None:
            return 0
        process, channel = self._worker
        self._worker = None
        channel.close()
        return process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        """Start a worker; return it and the channel to it once it is ready."""
        channel, remote = Pipe()
        with remote:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.extraction.worker", str(remote.fileno())],
                # Spark extends only its own workers' sys.path. One thread: other tasks use the other cores.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[remote.fileno()],
            )
        try:
            channel.send(self._settings)
            channel.recv()
        except (EOFError, OSError):
            channel.close()
            raise ChildProcessError(
                f"{sys.executable} -m pipeline.extraction.worker: exited with code {process.wait()} before "
                "it was ready; see its own error message above"
            ) from None
        return process, channel


@cache
def guard(settings: config.ExtractionConfig) -> Guard:
    """Return this process's guard with these settings, shared by its tasks one after the other."""
    shared = Guard(settings)
    atexit.register(shared.close)
    return shared
