"""What people say of answers: kept append-only beside the answers, and exported as training data.

``POST /v1/feedback`` names an answer by the id of its response and rates it; a correction says how it
should have been. Both tables live in one SQLite file. A row, once written, is neither changed nor removed:
triggers see to it. What is said later of the same answer takes the place of what was said before only when it
is exported (``python -m serve.feedback export``).
"""

import argparse
import logging
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from core.errors import InputError, run
from core.manifest import canonical
from serve import feedback_export
from serve.errors import ApiError, invalid, unavailable

LONGEST = 100_000
"""Characters of a correction or a comment."""

PATIENCE = 5.0
"""Seconds that a writer waits for another process to end its own transaction."""

SCHEMA = f"""
PRAGMA application_id = {feedback_export.APPLICATION};
PRAGMA user_version = {feedback_export.SCHEMA_VERSION};
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
        # REPLACE removes the rows that are in its way without asking the trigger above.
        ("INSERT", f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key} OR number = NEW.number) "),
    )
)

log = logging.getLogger(__name__)


class UnknownResponseError(Exception):
    """Feedback on an answer that the journal does not hold."""


def _text(value: str) -> str:
    """A text that says something."""
    if not value.strip():
        raise ValueError("must not be empty; leave it out instead")
    return value


Text = Annotated[str, StringConstraints(max_length=LONGEST), AfterValidator(_text)]


class Feedback(BaseModel):
    """The body of ``POST /v1/feedback``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    response_id: Annotated[str, StringConstraints(max_length=200)]
    rating: Literal["up", "down"]
    correction: Text | None = None
    """What the answer should have been."""
    comment: Text | None = None


class Journal:
    """Answers and what was said of them, in the SQLite file ``path``; with no path nothing is kept.

    The file is made with the first answer. Safe in several threads and with several processes on one file.
    Raises :class:`core.errors.InputError` for a path that cannot be such a file.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = _open(path) if path and Path(path).exists() else None
        if path and not os.access(Path(path).parent, os.W_OK):
            raise _refused(path, "no folder that can be written")

    @property
    def kept(self) -> bool:
        """Whether feedback is kept."""
        return bool(self._path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database:
                self._database.close()

    def record(
        self,
        response_id: str,
        created: int,
        model: str,
        model_sha256: str,
        messages: Sequence[Mapping[str, str]],
        answer: str,
        finish_reason: str,
    ) -> None:
        """Keep one answer (``created`` in seconds since 1970) and the conversation that it ends.

        It outlives the process at once, the machine only once feedback on anything follows: no wait for the
        disk. A full disk is logged and keeps nobody from the answer.
        """
        if not self.kept:
            return
        turns = [{"role": turn["role"], "content": _whole(turn["content"])} for turn in messages]
        row = (None, response_id, created, model, model_sha256, canonical(turns).decode(), _whole(answer))
        try:
            self._insert("answers", (*row, finish_reason))
        except (sqlite3.Error, InputError) as error:
            log.warning("answer %s is not kept for feedback: %s", response_id, error)

    def rate(self, feedback: Feedback) -> dict[str, Any]:
        """Keep feedback, on the disk when this returns, and say how: its id and time.

        Raises :class:`UnknownResponseError` for an answer that is not kept here, sqlite3.Error or
        :class:`core.errors.InputError` when the file fails.
        """
        made = {"id": f"feedback-{uuid.uuid4().hex}", "created": int(time.time())}
        row = (None, made["id"], feedback.response_id, made["created"], feedback.rating)
        try:
            self._insert("feedback", (*row, feedback.correction, feedback.comment), durable=True)
        except sqlite3.IntegrityError:
            raise UnknownResponseError from None
        return made

    def _insert(self, table: str, row: tuple[object, ...], *, durable: bool = False) -> None:
        """One row in a transaction of its own; ``durable``: on the disk, and with it all before it."""
        if not self.kept:
            raise UnknownResponseError
        marks = ", ".join("?" * len(row))
        with self._lock:
            self._database = self._database or _open(self._path)
            self._database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._database.execute(f"INSERT INTO {table} VALUES ({marks})", row)


def _whole(text: str) -> str:
    """The text with a question mark for each half of a surrogate pair, which UTF-8 cannot hold."""
    return text.encode(errors="replace").decode()


def _open(path: str) -> sqlite3.Connection:
    """The journal in ``path``, made if there is none."""
    try:
        database = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        database.execute("PRAGMA foreign_keys = ON")
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        feedback_export.check(database, path)
        database.execute("PRAGMA journal_mode = WAL")
    except sqlite3.Error as error:
        raise _refused(path, error) from None
    return database


def _refused(path: str, why: object) -> InputError:
    return InputError(
        f"{path}: cannot keep feedback there ({why}); name a file in a folder that can be written with "
        "--set serve.feedback=FILE"
    )


def routes(journal: Journal) -> list[Route]:
    """``POST /v1/feedback`` keeps feedback; ``GET /v1/feedback`` says whether any is kept."""

    async def state(_request: Request) -> JSONResponse:
        return JSONResponse({"object": "feedback.state", "kept": journal.kept})

    async def rate(request: Request) -> JSONResponse:
        if not journal.kept:
            message = "this server keeps no feedback; start it with --set serve.feedback=FILE"
            raise ApiError(403, message, "feedback_off")
        try:
            feedback = Feedback.model_validate_json(await request.body())
        except ValidationError as error:
            raise invalid(error) from None
        try:
            made = await run_in_threadpool(journal.rate, feedback)
        except UnknownResponseError:
            message = f"no answer {feedback.response_id!r} is kept here; send the id of a response"
            raise ApiError(404, message, "response_not_found", "response_id") from None
        except (sqlite3.Error, InputError) as error:
            log.warning("feedback on %s is lost: %s", feedback.response_id, error)
            raise unavailable("feedback cannot be kept now; try again later", "feedback_failed") from None
        return JSONResponse({"object": "feedback", **made, **feedback.model_dump()})

    return [
        Route("/v1/feedback", state, methods=["GET"]),
        Route("/v1/feedback", rate, methods=["POST"]),
    ]


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m serve.feedback",
        description="Make training data of feedback on a model's answers.",
    )
    export = parser.add_subparsers(required=True, metavar="export").add_parser(
        "export", help="write chat.jsonl, which train.finetune takes, and preferences.jsonl"
    )
    export.add_argument("--database", required=True, metavar="FILE", help="the server's serve.feedback")
    export.add_argument("--to", required=True, metavar="DIR", help="a folder that does not exist yet")
    export.add_argument(
        "--mask",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace e-mail addresses, telephone numbers and other personal data by tags (the default)",
    )
    options = parser.parse_args(arguments)
    print(feedback_export.export(options.database, options.to, mask=options.mask))


if __name__ == "__main__":
    run(main)
