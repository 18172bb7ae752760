"""Kept feedback as training data: conversations to imitate, and pairs of a better and a worse answer.

``chat.jsonl``
    One ``{"messages": […]}`` a line, for ``train.finetune``: with an answer that was liked, or with the
    correction in its place.
``preferences.jsonl``
    One ``{"prompt": […], "chosen": […], "rejected": […]}`` a line, lists of messages all three, where a
    correction and the answer that it corrects both exist: for preference methods (Rafailov et al. 2023).
``manifest.json``
    The counts and hashes. The folder appears under its name when all of it is written.

The same database gives the same bytes.
"""

import hashlib
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import manifest
from core.errors import InputError, OutputError
from pipeline.filters import pii

STAGE = "feedback"
APPLICATION = 0x47726973
"""Marks a SQLite file as ours ("Gris")."""
SCHEMA_VERSION = 1
CHAT, PREFERENCES = "chat.jsonl", "preferences.jsonl"

LATEST = """
SELECT model_sha256, messages, answer, finish_reason, rating, correction
FROM feedback JOIN answers USING (response_id)
WHERE feedback.number IN (SELECT max(number) FROM feedback GROUP BY response_id)
ORDER BY answers.created, response_id
"""
"""The last word on every answer; answers in the order in which they were given."""

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer and the last that was said of it."""

    model_sha256: str
    messages: str
    answer: str
    finish_reason: str
    rating: str
    correction: str | None


def check(database: sqlite3.Connection, path: str) -> None:
    """Raise :class:`InputError` unless the file is a journal of this version."""
    found = tuple(
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    if found[0] != APPLICATION:
        raise InputError(f"{path}: a SQLite file, but none of a server's feedback; name another file")
    if found[1] != SCHEMA_VERSION:
        raise InputError(
            f"{path}: feedback of schema version {found[1]}, but this program reads {SCHEMA_VERSION}; use "
            "the version of Gristmill that wrote it"
        )


def export(database: str, folder: str, *, mask: bool = True) -> str:
    """Write what ``database`` holds into the new ``folder``; a sentence that says what came of it.

    ``mask`` replaces personal data by tags (:mod:`pipeline.filters.pii`). The same export again is left as
    it is. Raises :class:`InputError` for a database that is none, or holds nothing to learn from, and
    :class:`OutputError` for a folder that holds something else.
    """
    ratings, answers, rated = _read(database)
    counts = Counter(answers=answers, feedback=ratings, superseded=ratings - len(rated))
    clean: Callable[[str], str] = _Masker(counts) if mask else str
    chat, preferences = [], []
    for item in rated:
        prompt = [turn | {"content": clean(turn["content"])} for turn in json.loads(item.messages)]
        better, worse = map(clean, _judge(item, counts))
        if better:
            chat.append({"messages": [*prompt, *_said(better)]})
        if worse and worse != better:
            preferences.append({"prompt": prompt, "chosen": _said(better), "rejected": _said(worse)})
    if not chat:
        raise InputError(
            f"{database}: {ratings} feedback, but no answer was liked or corrected; nothing to export yet"
        )
    counts.update(chat=len(chat), preferences=len(preferences))
    models = sorted({item.model_sha256 for item in rated})
    written = _publish(Path(folder), {CHAT: chat, PREFERENCES: preferences}, counts, models, mask)
    state = "exported to" if written else "already exported to"
    return (
        f"{counts['chat']} conversations and {counts['preferences']} preferences {state} {folder}, from "
        f"{ratings} feedback on {len(rated)} of {answers} answers"
    )


def _judge(item: Rated, counts: Counter[str]) -> tuple[str, str]:
    """What to learn from an answer, and what it is better than; empty where there is none. Counted."""
    correction = item.correction or ""
    if correction and correction != item.answer:
        counts["corrected"] += 1
        return correction, item.answer
    if item.rating == "down" and not correction:
        counts["disliked"] += 1
    elif item.finish_reason == "content_filter" or not item.answer.strip():
        counts["liked_but_blocked_or_empty"] += 1
    else:
        counts["liked"] += 1
        return item.answer, ""
    return "", ""


def _said(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


class _Masker:
    """Masks personal data and counts what it masked."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def __call__(self, text: str) -> str:
        masked = pii.mask(text)
        self._counts.update({name: int(number) for name, number in masked.metrics.items()})
        return masked.text


def _read(path: str) -> tuple[int, int, list[Rated]]:
    """How much feedback and how many answers there are, and the last word on each, all of one moment."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; name the one of the server's serve.feedback")
    try:
        database = sqlite3.connect(
            f"{Path(path).absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        try:
            check(database, path)
            database.execute("BEGIN")
            ratings, answers = (
                int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in ("feedback", "answers")
            )
            return ratings, answers, [Rated(*row) for row in database.execute(LATEST)]
        finally:
            database.close()
    except sqlite3.Error as error:
        raise InputError(f"{path}: cannot be read as a server's feedback ({error}); check the path") from None


def _publish(
    folder: Path,
    files: dict[str, list[dict[str, list[Message]]]],
    counts: Counter[str],
    models: list[str],
    mask: bool,
) -> bool:
    """Write the folder beside and rename it; False if it was there already, the same."""
    contents = {
        name: b"".join(manifest.canonical(row) + b"\n" for row in rows) for name, rows in files.items()
    }
    entries = [
        manifest.FileEntry(
            path=name, size=len(data), rows=len(files[name]), sha256=hashlib.sha256(data).hexdigest()
        )
        for name, data in contents.items()
    ]
    config = {"mask": mask}
    made = manifest.Manifest(
        stage=STAGE,
        fingerprint=manifest.fingerprint(STAGE, config, [entry.sha256 for entry in entries]),
        config=config,
        inputs=[],
        counts=dict(sorted(counts.items())),
        files=entries,
        facts={"models": models},
    )
    if folder.exists():
        _refuse_another(folder, made)
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            whole = Path(beside) / "whole"
            whole.mkdir()
            for name, data in contents.items():
                (whole / name).write_bytes(data)
            manifest.publish(str(whole), made)
            whole.rename(folder)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --to") from None
    return True


def _refuse_another(folder: Path, made: manifest.Manifest) -> None:
    """Raise :class:`OutputError` unless the folder holds this very export."""
    path = folder / manifest.NAME
    if not path.is_file() or manifest.read(str(folder), STAGE) != made:
        raise OutputError(f"{folder}: holds something else already; choose another --to or remove it")
    manifest.verify(str(folder), made)
