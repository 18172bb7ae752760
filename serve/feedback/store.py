"""Append-only store of answers and of feedback on them: two tables in one SQLite file.

Triggers reject changes and deletions. Feedback that supersedes earlier feedback on the same answer is added
like any other; the export uses the latest.
"""

import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import InputError
from core.manifest import canonical

APPLICATION_ID = 0x47726973
"""Identifies a SQLite file as a feedback store ("Gris")."""
SCHEMA_VERSION = 1
LOCK_SECONDS = 5.0
"""Time to wait for another process's transaction."""

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    response_id TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL,
    model TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    messages TEXT NOT NULL CHECK (json_valid(messages)),
    answer TEXT NOT NULL,
    finish_reason TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS feedback (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    response_id TEXT NOT NULL REFERENCES answers (response_id),
    created INTEGER NOT NULL,
    rating TEXT NOT NULL CHECK (rating IN ('up', 'down')),
    correction TEXT,
    comment TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS feedback_of ON feedback (response_id);
""" + "".join(
    f"CREATE TRIGGER IF NOT EXISTS {table}_{event.lower()} BEFORE {event} ON {table} {condition}"
    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
    for table, key in (("answers", "response_id"), ("feedback", "id"))
    for event, condition in (
        ("UPDATE", ""),
        ("DELETE", ""),
        # REPLACE deletes conflicting rows without firing the trigger above.
        ("INSERT", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key} OR number = NEW.number) "),
    )
)

log = logging.getLogger(__name__)


class UnknownResponseError(Exception):
    """Feedback on an answer that is not in the store."""


class FeedbackStore:
    """Answers and feedback in the SQLite file ``path``; an empty path disables the store.

    The file is created with the first answer. Safe for several threads and several processes. Raises
    :class:`core.errors.InputError` if the path cannot be used.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = _open(path) if path and Path(path).exists() else None
        if path and not os.access(Path(path).parent, os.W_OK):
            raise _unusable(path, "its folder does not exist or is not writable")

    @property
    def enabled(self) -> bool:
        """True if answers and feedback are stored."""
        return bool(self._path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database:
                self._database.close()

    def add_answer(
        self,
        response_id: str,
        created: int,
        model: str,
        model_sha256: str,
        messages: Sequence[Mapping[str, str]],
        answer: str,
        finish_reason: str,
    ) -> None:
        """Store an answer and the conversation before it; ``created`` is a Unix time.

        The row survives a crash of the process, and a crash of the machine only after later feedback: it is
        not synced to disk. Errors, such as a full disk, are logged and not raised.
        """
        if not self.enabled:
            return
        turns = [{"role": turn["role"], "content": _valid_unicode(turn["content"])} for turn in messages]
        conversation = canonical(turns).decode()
        row = (None, response_id, created, model, model_sha256, conversation, _valid_unicode(answer))
        try:
            self._insert("answers", (*row, finish_reason))
        except (sqlite3.Error, InputError) as error:
            log.warning("answer %s was not stored for feedback: %s", response_id, error)

    def add_feedback(
        self, response_id: str, rating: str, correction: str | None = None, comment: str | None = None
    ) -> dict[str, str | int]:
        """Store feedback, synced to disk, and return its ``id`` and ``created`` time.

        ``rating`` is "up" or "down". Raises :class:`UnknownResponseError` for an answer that is not stored,
        and sqlite3.Error or :class:`core.errors.InputError` if the file fails.
        """
        feedback_id, created = f"feedback-{uuid.uuid4().hex}", int(time.time())
        row = (None, feedback_id, response_id, created, rating, correction, comment)
        try:
            self._insert("feedback", row, durable=True)
        except sqlite3.IntegrityError:
            raise UnknownResponseError from None
        return {"id": feedback_id, "created": created}

    def _insert(self, table: str, row: tuple[object, ...], *, durable: bool = False) -> None:
        """Insert a row in its own transaction; ``durable``: sync it and all earlier ones to disk."""
        if not self.enabled:
            raise UnknownResponseError
        marks = ", ".join("?" * len(row))
        with self._lock:
            self._database = self._database or _open(self._path)
            self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._database.execute(f"INSERT INTO {table} VALUES ({marks})", row)


def check_schema(database: sqlite3.Connection, path: str) -> None:
    """Raise :class:`InputError` unless the file is a feedback store of this schema version."""
    application_id, version = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if application_id != APPLICATION_ID:
        raise InputError(f"{path}: a SQLite file, but not a server's feedback store; name another file")
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: feedback of schema version {version}, but this program reads {SCHEMA_VERSION}; use "
            "the version of Gristmill that wrote it"
        )


def _valid_unicode(text: str) -> str:
    """Replace lone surrogates, which UTF-8 cannot encode, by question marks."""
    return text.encode(errors="replace").decode()


def _open(path: str) -> sqlite3.Connection:
    """Open the store in ``path``; create it if the file is missing or empty."""
    try:
        database = sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA foreign_keys = ON")
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        check_schema(database, path)
        database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise _unusable(path, error) from None
    return database


def _unusable(path: str, reason: object) -> InputError:
    return InputError(
        f"{path}: cannot store feedback there ({reason}); name a file in a writable folder with "
        "--set serve.feedback=FILE"
    )
