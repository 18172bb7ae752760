"""State shared by all requests: the model and its engine, the safety filter, the feedback store, metrics."""

import os
import time
from dataclasses import InitVar, dataclass, field
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
from serve.feedback.recorder import FeedbackRecorder
from serve.feedback.store import FeedbackStore
from serve.logprobs import TokenTexts
from serve.metrics import Metrics
from serve.safety.filter import SafetyFilter

WARM_UP_TOKENS = 16


class UnavailableError(Exception):
    """The service does not accept requests now; ``code`` is ``loading`` or ``draining``."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ServedModel:
    """A loaded model and the engine that runs it."""

    loaded: LoadedModel
    engine: Engine
    name: str
    """Name in the API."""
    created: int
    """Unix time at which it was loaded."""
    token_texts: TokenTexts

    @property
    def can_chat(self) -> bool:
        """False for a base model, which has no chat template."""
        return bool(self.loaded.tokenizer.chat_template)


@dataclass
class Service:
    """One server."""

    settings: ServeConfig
    store: InitVar[FeedbackStore]
    safety: SafetyFilter
    metrics: Metrics = field(default_factory=Metrics)
    state: Literal["loading", "ready", "draining"] = "loading"
    active_requests: int = 0
    """HTTP requests whose response is not complete."""
    _model: ServedModel | None = None
    _closed: bool = False

    def __post_init__(self, store: FeedbackStore) -> None:
        self.feedback = FeedbackRecorder(
            store, store_all=self.settings.store_conversations, on_lost=self.metrics.feedback_lost.inc
        )
        self.metrics.set_gauges(
            lambda: self._model.engine.num_running if self._model else 0,
            lambda: self._model.engine.num_waiting if self._model else 0,
            lambda: self.state == "ready",
        )

    @property
    def model(self) -> ServedModel:
        """The served model. Raises :class:`UnavailableError` while loading or draining."""
        if self.state == "draining":
            raise UnavailableError("the server is shutting down; use another one", "draining")
        if self._model is None:
            raise UnavailableError("the model is still loading; try again in a moment", "loading")
        return self._model

    def load(self, path: str) -> ServedModel:
        """Load a model and accept requests from then on. Raises :class:`core.errors.GristmillError`."""
        return self.start(*_load(path, self.settings))

    def start(self, loaded: LoadedModel, batcher: Batcher) -> ServedModel:
        """Accept requests for a model; the caller runs the engine."""
        engine = Engine(batcher, self.settings.queue)
        name = self.settings.model_name or loaded.name
        self._model = ServedModel(loaded, engine, name, int(time.time()), TokenTexts(loaded.tokenizer))
        if self._closed:
            self._model.engine.close()
        elif self.state == "loading":
            self.state = "ready"
        return self._model

    def close(self) -> None:
        """Stop the engine, also one that is not started yet, and close the feedback store."""
        self._closed = True
        if self._model:
            self._model.engine.close()
        self.feedback.close()


def _load(path: str, settings: ServeConfig) -> tuple[LoadedModel, Batcher]:
    """Return a model, warmed up, and its batcher."""
    torch.set_num_threads(_num_threads(settings))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = loading.load(path, device, _dtype(settings, device))
    limit = loaded.model.config.context or DEFAULT_CONTEXT
    capacity = min(settings.context or DEFAULT_CONTEXT, limit)
    batcher = Batcher(fuse(loaded.model), settings.slots, capacity)
    batcher.add([0] * min(WARM_UP_TOKENS, capacity - 2), 2, Sampling(temperature=0), frozenset())
    while batcher.num_running:
        batcher.step()
    return loaded, batcher


def _dtype(settings: ServeConfig, device: str) -> torch.dtype:
    if settings.precision != "auto":
        return torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
    return torch.bfloat16 if device == "cuda" else torch.float32


def _num_threads(settings: ServeConfig) -> int:
    """Return the configured number of threads; by default one per processor that this process may use."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return settings.threads or available or 1
