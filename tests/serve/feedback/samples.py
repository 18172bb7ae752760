"""Sample answers and feedback, and reading of the database."""

import sqlite3
from pathlib import Path
from typing import Any

from serve.feedback.store import FeedbackStore

MODEL_SHA256 = "5" * 64
QUESTION = [{"role": "user", "content": "Capital of France?"}]


def add_answer(
    store: FeedbackStore, response_id: str, answer: str = "Lyon.", finish: str = "stop", created: int = 1
) -> None:
    store.add_answer(response_id, created, "tiny", MODEL_SHA256, QUESTION, answer, finish)


def rows(database: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
