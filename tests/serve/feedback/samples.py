"""Sample answers and feedback, and reading of the database."""

import sqlite3
from pathlib import Path
from typing import Any

from serve.feedback.recent import Answer
from serve.feedback.store import Feedback, FeedbackStore

MODEL_SHA256 = "5" * 64
QUESTION = [{"role": "user", "content": "Capital of France?"}]


def sample_answer(
    response_id: str, text: str = "Lyon.", finish: str = "stop", created: int = 1, messages: Any = QUESTION
) -> Answer:
    return Answer(response_id, created, "tiny", MODEL_SHA256, messages, text, finish)


def add_answer(store: FeedbackStore, response_id: str, *fields: Any, **more: Any) -> None:
    """Store an answer; the arguments are those of :func:`sample_answer`."""
    store.add_answer(sample_answer(response_id, *fields, **more))


def rate(store: FeedbackStore, response_id: str, rating: str, *texts: str) -> str:
    """Store feedback, and return its id."""
    return store.add_feedback(Feedback(response_id, rating, *texts)).id


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
