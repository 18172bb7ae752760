"""Feedback of a running server: recent answers in memory, and a thread that writes to the store.

Answers never wait for the store. What cannot be stored is logged and counted.
"""

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from core.errors import InputError
from serve.feedback.recent import Answer, RecentAnswers
from serve.feedback.store import LOCK_SECONDS, Feedback, FeedbackStore, StoredFeedback

MAX_PENDING = 1000
"""Writes that wait for the thread; further ones are lost."""
WAIT_SECONDS = LOCK_SECONDS + 1
"""Time that a client waits for the store, and the server when it stops."""

STORE_ERRORS = (sqlite3.Error, InputError)
"""What the store raises if the file fails."""

T = TypeVar("T")

log = logging.getLogger(__name__)


class FeedbackFailedError(Exception):
    """The store cannot be used now."""


class FeedbackRecorder:
    """Remembers answers and stores those that are rated; ``store_all`` stores all.

    ``on_lost`` is called for everything that could not be stored. The methods, other than :meth:`close`, may
    be called from the event loop's thread only.
    """

    def __init__(
        self, store: FeedbackStore, *, store_all: bool = False, on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self.store_all = store_all and store.enabled
        """True if answers without feedback are stored, too."""
        self._store = store
        self._on_lost = on_lost
        self._recent = RecentAnswers()
        self._thread = ThreadPoolExecutor(1, "feedback")
        self._room = threading.Semaphore(MAX_PENDING)

    @property
    def enabled(self) -> bool:
        """True if feedback is stored."""
        return self._store.enabled

    def add(self, answer: Answer) -> None:
        """Remember an answer, so that it can be rated; with ``store_all``, have it stored soon."""
        if not self.enabled:
            return
        self._recent.add(answer)
        if self.store_all:
            try:
                self._submit(self._store.add_answer, answer).add_done_callback(self._check)
            except FeedbackFailedError as error:
                self._lose(error)

    async def rate(self, feedback: Feedback, fallback: Answer | None = None) -> StoredFeedback:
        """Store feedback and the answer that it rates: the remembered one, or else ``fallback``.

        Raises :class:`serve.feedback.store.UnknownResponseError` for an answer that is neither remembered nor
        stored nor given, and :class:`FeedbackFailedError`.
        """
        answer = self._recent.get(feedback.response_id) or fallback
        return await self._run(self._store.add_feedback, feedback, answer)

    async def delete(self, identifier: str) -> int:
        """Delete the answer or the feedback with this id from memory and store; return the number of rows.

        Raises :class:`FeedbackFailedError`.
        """
        self._recent.forget(identifier)
        return await self._run(self._store.delete, [identifier])

    def close(self) -> None:
        """Finish the writes that wait, for up to :data:`WAIT_SECONDS`, and close the store."""
        closing = self._thread.submit(self._store.close)
        wait([closing], WAIT_SECONDS)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, action: Callable[..., T], *arguments: Any) -> T:
        """Run an action of the store in the thread; return its result."""
        try:
            future = asyncio.wrap_future(self._submit(action, *arguments))
            return await asyncio.wait_for(future, WAIT_SECONDS)
        except (*STORE_ERRORS, FeedbackFailedError, TimeoutError) as error:
            self._lose(error)
            raise FeedbackFailedError from None

    def _submit(self, action: Callable[..., T], *arguments: Any) -> Future[T]:
        if not self._room.acquire(blocking=False):
            raise FeedbackFailedError(f"{MAX_PENDING} writes are waiting")
        future = self._thread.submit(action, *arguments)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _check(self, future: Future[Any]) -> None:
        """Report a failure of a write that nobody waits for."""
        error = CancelledError("the server stopped") if future.cancelled() else future.exception()
        if error:
            self._lose(error)

    def _lose(self, error: BaseException) -> None:
        log.warning("feedback was not stored: %s", error or type(error).__name__)
        self._on_lost()
