"""Output of processes under ``torchrun``, whose report of a failure must end with the program's own error.

``torchrun`` prints some thirty lines about failed processes, one paragraph for each. Last comes the one that
failed first, with the content of the error file that it may write
(``torch.distributed.elastic.multiprocessing.errors``).
"""

import io
import json
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from core import errors


class TolerantOutput(io.TextIOBase):
    """Standard output that is discarded once writing fails: neither ``| head`` nor a full disk ends a run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text`` and return its length."""
        try:
            self._stream.write(text)
        except OSError:
            errors.discard(self._stream)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except OSError:
            errors.discard(self._stream)


def report(message: str) -> int:
    """Report a line, to ``torchrun`` if it is about to print it, else on stderr; return the exit code."""
    # Before all other failures: torchrun rounds to seconds, and the first one is the root cause.
    if not _write_error_file(message, int(time.time()) - 1):
        print(message, file=sys.stderr)
    return 1


def stopped() -> int:
    """Return the exit code of a process that stops because another one has reported an error.

    One process on each host fails, so that its ``torchrun`` does; the others would only lengthen the report.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("LOCAL_RANK", "0") != "0":
        return 0
    _write_error_file("stopped: another process failed", int(time.time()) + 1)
    return 1


def _write_error_file(message: str, timestamp: int) -> bool:
    """Leave a message for the report. Return False if there is no ``torchrun``, or if it restarts us."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    restarts, limit = (
        int(os.environ.get(f"TORCHELASTIC_{name}", "0")) for name in ("RESTART_COUNT", "MAX_RESTARTS")
    )
    if path is None or restarts < limit:
        return False
    # The line break puts the message on a line of its own.
    content = {"message": f"\n{message}", "timestamp": timestamp}
    Path(path).write_text(json.dumps(content), encoding="utf-8")
    return True
