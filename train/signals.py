"""Signals that end a run early: it takes a last step, saves a checkpoint and stops.

``SIGTERM`` comes from ``torchrun``, Slurm and Kubernetes before they kill a process, ``SIGINT`` from Ctrl-C;
``SIGUSR1`` is for schedulers that send it to the process itself. A second Ctrl-C ends the process at once.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Context in which the first of :data:`SIGNALS` is recorded instead of ending the process."""

    def __init__(self) -> None:
        self.signal = 0
        """Number of the first signal, 0 if there was none."""
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            # A shell has the programs that it starts in the background ignore Ctrl-C.
            heeded = [each for each in SIGNALS if signal.getsignal(each) != signal.SIG_IGN]
            self._handlers = {each: signal.signal(each, self._record) for each in heeded}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)

    def _record(self, number: int, _: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = self.signal or number
