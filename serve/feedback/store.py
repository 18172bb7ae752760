"""Store of rated answers and of feedback on them: two tables in one SQLite file.

Triggers reject changes and accidental deletions; :meth:`FeedbackStore.delete` removes rows for good. Feedback
that supersedes earlier feedback on the same answer is added like any other; the export uses the latest.
"""

import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import InputError
from core.manifest import canonical
from serve.feedback.recent import Answer

APPLICATION_ID = 0x47726973
"""Identifies a SQLite file as a feedback store ("Gris")."""
SCHEMA_VERSION = 1
LOCK_SECONDS = 5.0
"""Time to wait for another process's transaction."""

LIST = "(SELECT value FROM json_each(?))"
"""The items of a JSON list."""
UNRATED = "response_id NOT IN (SELECT response_id FROM feedback)"
TABLES = {"answers": "response_id", "feedback": "id"}
"""Tables and their keys."""

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
"""
TRIGGERS = [
    f"CREATE TRIGGER IF NOT EXISTS {table}_{event.lower()} BEFORE {event} ON {table} {condition}"
    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END;\n"
    for table, key in TABLES.items()
    for event, condition in (
        ("UPDATE", ""),
        ("DELETE", ""),
        # REPLACE deletes conflicting rows without firing the trigger above.
        ("INSERT", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key} OR number = NEW.number) "),
    )
]


class UnknownResponseError(Exception):
    """Feedback on an answer that is not known."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """A user's feedback on an answer."""

    response_id: str
    rating: str
    """``up`` or ``down``."""
    correction: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class StoredFeedback:
    """Id and Unix time of stored feedback."""

    id: str
    created: int


class FeedbackStore:
    """Answers and feedback in the SQLite file ``path``; an empty path disables the store.

    The file is created with the first row. Safe for several threads and several processes. Raises
    :class:`core.errors.InputError` if the path cannot be used. The methods raise sqlite3.Error or InputError
    if the file fails.
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

    def add_answer(self, answer: Answer) -> None:
        """Store an answer and the conversation before it, unless it is stored already.

        The row survives a crash of the process, and a crash of the machine only after later feedback: it is
        not synced to disk.
        """
        with self._transaction() as database:
            _insert_answer(database, answer)

    def add_feedback(self, feedback: Feedback, answer: Answer | None = None) -> StoredFeedback:
        """Store feedback, synced to disk, together with the answer unless that is stored already.

        Raises :class:`UnknownResponseError` if the answer is neither given nor stored.
        """
        stored = StoredFeedback(f"feedback-{uuid.uuid4().hex}", int(time.time()))
        row = (stored.id, feedback.response_id, stored.created, feedback.rating)
        texts = (feedback.correction, feedback.comment)
        with self._transaction(durable=True) as database:
            if answer:
                _insert_answer(database, answer)
            try:
                database.execute("INSERT INTO feedback VALUES (NULL, ?, ?, ?, ?, ?, ?)", (*row, *texts))
            except sqlite3.IntegrityError:
                raise UnknownResponseError from None
        return stored

    def delete(self, identifiers: Sequence[str]) -> int:
        """Delete answers with all feedback on them, by response ids, and single feedback, by its ids.

        An answer goes with the last feedback on it. The rows are overwritten on disk. Returns the number of
        deleted rows.
        """
        ids = json.dumps(list(identifiers))
        with self._transaction(durable=True) as database, _deletable(database):
            rated = _responses(database, f"SELECT response_id FROM feedback WHERE id IN {LIST}", ids)
            deleted = database.execute(
                f"DELETE FROM feedback WHERE id IN {LIST} OR response_id IN {LIST}", (ids, ids)
            ).rowcount
            deleted += database.execute(
                f"DELETE FROM answers WHERE response_id IN {LIST} OR response_id IN {LIST} AND {UNRATED}",
                (ids, rated),
            ).rowcount
        self._truncate_log()
        return deleted

    def delete_unrated(self) -> int:
        """Delete all answers without feedback, as :meth:`delete` does."""
        with self._transaction(durable=True) as database, _deletable(database):
            deleted = database.execute(f"DELETE FROM answers WHERE {UNRATED}").rowcount
        self._truncate_log()
        return deleted

    @contextmanager
    def _transaction(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction; ``durable``: sync it and all earlier ones to disk."""
        with self._lock:
            self._database = database = self._database or _open(self._path)
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise

    def _truncate_log(self) -> None:
        """Empty the write-ahead log, which holds pages from before a deletion."""
        with self._lock:
            assert self._database
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _insert_answer(database: sqlite3.Connection, answer: Answer) -> None:
    """Insert an answer unless it is stored already."""
    if database.execute("SELECT 1 FROM answers WHERE response_id = ?", (answer.response_id,)).fetchone():
        return
    turns = [{"role": turn["role"], "content": _valid_unicode(turn["content"])} for turn in answer.messages]
    row = (answer.response_id, answer.created, answer.model, answer.model_sha256, canonical(turns).decode())
    texts = (_valid_unicode(answer.text), answer.finish_reason)
    database.execute("INSERT INTO answers VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)", (*row, *texts))


def _responses(database: sqlite3.Connection, query: str, ids: str) -> str:
    """Return the response ids that a query finds, as a JSON list."""
    return json.dumps([response_id for (response_id,) in database.execute(query, (ids,))])


@contextmanager
def _deletable(database: sqlite3.Connection) -> Iterator[None]:
    """Lift the protection from deletion within a transaction."""
    for table in TABLES:
        database.execute(f"DROP TRIGGER {table}_delete")
    yield
    for trigger in TRIGGERS:
        database.execute(trigger)


@contextmanager
def open_readonly(path: str) -> Iterator[sqlite3.Connection]:
    """Open an existing store for reading, as one snapshot.

    Raises :class:`InputError` for a file that is not a feedback store of this schema version.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; name the one of the server's serve.feedback")
    try:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as database:
            _check_schema(database, path)
            database.execute("BEGIN")
            yield database
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as a feedback database ({error}); check the path") from None


def _check_schema(database: sqlite3.Connection, path: str) -> None:
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
        database.execute("PRAGMA secure_delete = ON")
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA}{''.join(TRIGGERS)} COMMIT;")
        _check_schema(database, path)
        database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise _unusable(path, error) from None
    return database


def _unusable(path: str, reason: object) -> InputError:
    return InputError(
        f"{path}: cannot store feedback there ({reason}); name a file in a writable folder with "
        "--set serve.feedback=FILE"
    )
