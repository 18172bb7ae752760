"""What the server's parts share: the model and its state, the rules, the figures."""

import os
import time
from dataclasses import dataclass, field
from typing import Literal

import torch

from core.config import ServeConfig
from model import loading
from model.batching import Batcher
from model.config import DEFAULT_CONTEXT
from model.fused import fuse
from model.generation import Sampling
from model.loading import LoadedModel
from serve.engine import Engine
from serve.errors import unavailable
from serve.feedback import Journal
from serve.keys import Keys
from serve.metrics import Metrics
from serve.safety import Safety


@dataclass
class Ready:
    """A model that answers."""

    loaded: LoadedModel
    engine: Engine
    since: int
    """Seconds since 1970."""


@dataclass
class Service:
    """One server."""

    settings: ServeConfig
    keys: Keys
    journal: Journal
    safety: Safety
    local: bool
    """Only this machine can reach it."""
    metrics: Metrics = field(default_factory=Metrics)
    state: Literal["loading", "ready", "draining"] = "loading"
    active: int = 0
    """Requests that are being answered."""
    _ready: Ready | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        self.metrics.watch(
            lambda: self._ready.engine.running if self._ready else 0,
            lambda: max(0, self._ready.engine.count - self._ready.engine.running) if self._ready else 0,
            lambda: self.state == "ready",
        )

    @property
    def ready(self) -> Ready:
        """The model; refuses while there is none or the server is about to stop."""
        if self.state == "draining":
            raise unavailable("the server is about to stop; ask another one", "draining")
        if self._ready is None:
            raise unavailable("the model is still being loaded; try again in a moment", "loading")
        return self._ready

    def open(self, path: str) -> Ready:
        """Load the model; from then on requests are taken. Raises :class:`core.errors.GristmillError`."""
        loaded, batcher = _load(path, self.settings)
        self._ready = Ready(loaded, Engine(batcher, self.settings.queue), int(time.time()))
        if self._closed:
            self._ready.engine.close()
        elif self.state == "loading":
            self.state = "ready"
        return self._ready

    def close(self) -> None:
        """End the engine, or keep it from beginning, and put the journal away."""
        self._closed = True
        if self._ready:
            self._ready.engine.close()
        self.journal.close()


def _load(path: str, settings: ServeConfig) -> tuple[LoadedModel, Batcher]:
    """The model, warm, and its batcher."""
    torch.set_num_threads(_threads(settings))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = loading.load(path, device, _precision(settings, device))
    limit = loaded.model.config.context or DEFAULT_CONTEXT
    capacity = min(settings.context or DEFAULT_CONTEXT, limit)
    batcher = Batcher(fuse(loaded.model), settings.slots, capacity)
    batcher.add([0] * min(16, capacity - 2), 2, Sampling(temperature=0), frozenset())
    while batcher.num_running:
        batcher.step()
    return loaded, batcher


def _precision(settings: ServeConfig, device: str) -> torch.dtype:
    if settings.precision != "auto":
        return torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    return torch.bfloat16 if device == "cuda" else torch.float32


def _threads(settings: ServeConfig) -> int:
    """As the settings say, or one per processor that this process may use."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return settings.threads or own or 1
