"""The server in this process, with a model that generates only as many tokens as the test permits.

The tests decide when a request runs, waits or ends; none depends on the speed of the machine.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.config import ServeConfig
from model.batching import Batcher, SampledToken
from model.loading import LoadedModel
from serve.api.app import create_app
from serve.api.keys import ApiKeys
from serve.feedback.store import FeedbackStore
from serve.safety.filter import SafetyFilter
from serve.server import Server, listen, url
from serve.service import Service
from tests.serve.client import ServerUrl
from tests.serve.server_process import CONTEXT


class PacedBatcher(Batcher):
    """A batcher that runs one step per permit."""

    def __init__(self, model: LoadedModel, slots: int) -> None:
        super().__init__(model.model, slots, CONTEXT)
        self._permits = threading.Semaphore(0)
        self._unlimited = threading.Event()

    def permit(self, steps: int) -> None:
        self._permits.release(steps)

    def permit_all(self) -> None:
        self._unlimited.set()

    def step(self) -> list[SampledToken]:
        """Run a step if one is permitted; otherwise return, so that the engine can handle commands."""
        if not self._unlimited.is_set() and not self._permits.acquire(timeout=0.01):
            return []
        return super().step()


class ManualClock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class PacedServer(ServerUrl):
    """A running server; ``clock`` measures its time to drain."""

    batcher: PacedBatcher
    clock: ManualClock
    _server: Server
    _thread: threading.Thread

    @property
    def num_connections(self) -> int:
        """Number of open connections."""
        return len(self._server.server_state.connections)

    def terminate(self) -> None:
        """Do what SIGTERM does."""
        self._server.handle_exit(signal.SIGTERM, None)

    def wait(self, seconds: float = 60) -> None:
        """Wait until the server has stopped."""
        self._thread.join(seconds)
        assert not self._thread.is_alive()


@contextmanager
def paced_server(model: LoadedModel, **settings: Any) -> Iterator[PacedServer]:
    """Run the server during the block; ``settings`` are keys of its configuration section."""
    config = ServeConfig(**settings)
    service = Service(config, FeedbackStore(config.feedback), SafetyFilter(config))
    clock = ManualClock()
    server = Server(create_app(service, ApiKeys([]), loopback_only=True), service, clock=clock)
    batcher = PacedBatcher(model, config.slots)
    engine = service.start(model, batcher).engine
    with listen("127.0.0.1", 0, config.request_seconds) as listener:
        http = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        generating = threading.Thread(target=engine.run)
        http.start()
        generating.start()
        try:
            yield PacedServer(url(listener), batcher, clock, server, http)
        finally:
            server.should_exit = True
            batcher.permit_all()
            http.join()
            service.close()
            generating.join()
