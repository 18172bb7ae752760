"""List and delete stored answers and feedback."""

import json
import sqlite3
import time
from collections.abc import Iterator, Sequence

from core.errors import InputError, OutputError
from serve.feedback.store import FeedbackStore, open_readonly
from serve.terminal import escape_controls

SHOWN_CHARACTERS = 60
"""Length of the questions in the list."""

ROWS = """
SELECT answers.response_id, answers.created, coalesce(group_concat(rating, ','), '-'), messages
FROM answers LEFT JOIN feedback USING (response_id)
GROUP BY answers.number ORDER BY answers.number
"""


def list_rows(path: str) -> Iterator[str]:
    """Yield a line for each stored answer: id, time, ratings and start of the question, by tabs.

    Raises :class:`InputError` for a file that is not a feedback database.
    """
    with open_readonly(path) as database:
        for response_id, created, ratings, messages in database.execute(ROWS):
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))
            question = " ".join(json.loads(messages)[-1]["content"].split())
            yield "\t".join([response_id, at, ratings, escape_controls(question[:SHOWN_CHARACTERS])])


def delete(path: str, ids: Sequence[str]) -> str:
    """Delete answers and feedback by their ids, or without ids all answers that have no feedback.

    Returns a summary. Raises :class:`InputError` for a file that is not a feedback database or has none of
    the ids, and :class:`OutputError` if it cannot be changed.
    """
    with open_readonly(path):
        pass
    store = FeedbackStore(path)
    try:
        deleted = store.delete(ids) if ids else store.delete_unrated()
    except sqlite3.Error as error:
        raise OutputError(f"{path}: cannot be changed ({error}); try again") from None
    finally:
        store.close()
    if ids and not deleted:
        raise InputError(f"{path}: stores none of {', '.join(ids)}; see python -m serve.feedback list")
    return f"{deleted} rows deleted from {path}"
