"""Export of feedback as training data.

``chat.jsonl``
    One conversation per line for ``train.finetune``, ``{"messages": […]}``, that ends with a liked answer or
    with the correction of an answer.
``preferences.jsonl``
    One preference per line for preference methods (Rafailov et al. 2023),
    ``{"prompt": […], "chosen": […], "rejected": […]}``, each a list of messages: a correction and the answer
    that it corrects.
``manifest.json``
    Counts and hashes. The folder appears under its name once it is complete.

The same database gives the same bytes.
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core import manifest
from core.errors import InputError, OutputError
from core.manifest import FileEntry, Manifest
from pipeline.filters import pii
from serve.feedback.store import open_readonly

STAGE = "feedback"
CHAT, PREFERENCES = "chat.jsonl", "preferences.jsonl"

LATEST_FEEDBACK = """
SELECT model_sha256, messages, answer, finish_reason, rating, correction
FROM feedback JOIN answers USING (response_id)
WHERE feedback.number IN (SELECT max(number) FROM feedback GROUP BY response_id)
ORDER BY answers.created, response_id
"""
"""The latest feedback on each answer, in the order of the answers."""

Message = dict[str, str]
Row = dict[str, list[Message]]


@dataclass(frozen=True, slots=True)
class RatedAnswer:
    """An answer and the latest feedback on it."""

    model_sha256: str
    messages: str
    """The conversation before the answer, as JSON."""
    answer: str
    finish_reason: str
    rating: str
    correction: str | None


def export(database: str, folder: str, *, mask: bool = True) -> str:
    """Export ``database`` to the new ``folder`` and return a summary.

    ``mask`` replaces personal data by tags (:mod:`pipeline.filters.pii`). If the folder already holds this
    export, it is left unchanged. Raises :class:`InputError` for a file that is not a feedback database or has
    nothing to export, and :class:`OutputError` for a folder with other content.
    """
    num_feedback, num_answers, rated = _read(database)
    counts = Counter(answers=num_answers, feedback=num_feedback, superseded=num_feedback - len(rated))
    clean: Callable[[str], str] = _Masker(counts) if mask else str
    chat, preferences = _training_rows(rated, clean, counts)
    if not chat:
        raise InputError(
            f"{database}: {num_feedback} entries of feedback, but no answer was liked or corrected; collect "
            "feedback before exporting"
        )
    counts.update(chat=len(chat), preferences=len(preferences))
    models = sorted({answer.model_sha256 for answer in rated} - {""})
    written = _publish(Path(folder), {CHAT: chat, PREFERENCES: preferences}, counts, models, mask=mask)
    state = "exported to" if written else "already exported to"
    return (
        f"{counts['chat']} conversations and {counts['preferences']} preferences {state} {folder}, from "
        f"{num_feedback} entries of feedback on {len(rated)} of {num_answers} answers"
    )


def _training_rows(
    rated: list[RatedAnswer], clean: Callable[[str], str], counts: Counter[str]
) -> tuple[list[Row], list[Row]]:
    """Return the conversations and the preferences."""
    chat: list[Row] = []
    preferences: list[Row] = []
    for answer in rated:
        prompt = [turn | {"content": clean(turn["content"])} for turn in json.loads(answer.messages)]
        chosen, rejected = map(clean, _chosen_and_rejected(answer, counts))
        if chosen:
            chat.append({"messages": [*prompt, *_assistant(chosen)]})
        if rejected and rejected != chosen:
            preferences.append(
                {"prompt": prompt, "chosen": _assistant(chosen), "rejected": _assistant(rejected)}
            )
    return chat, preferences


def _chosen_and_rejected(answer: RatedAnswer, counts: Counter[str]) -> tuple[str, str]:
    """Return the better and the worse text, each empty if there is none; count the case."""
    correction = answer.correction or ""
    if correction and correction != answer.answer:
        counts["corrected"] += 1
        return correction, answer.answer
    if answer.rating == "down" and not correction:
        counts["disliked"] += 1
    elif answer.finish_reason == "content_filter" or not answer.answer.strip():
        counts["liked_but_blocked_or_empty"] += 1
    else:
        counts["liked"] += 1
        return answer.answer, ""
    return "", ""


def _assistant(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


class _Masker:
    """Mask personal data and count the masks."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def __call__(self, text: str) -> str:
        masked = pii.mask(text)
        self._counts.update({name: int(number) for name, number in masked.metrics.items()})
        return masked.text


def _read(path: str) -> tuple[int, int, list[RatedAnswer]]:
    """Return the number of feedback entries and of answers, and the rated answers, from one snapshot."""
    with open_readonly(path) as database:
        num_feedback, num_answers = (
            int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in ("feedback", "answers")
        )
        rated = [RatedAnswer(*row) for row in database.execute(LATEST_FEEDBACK)]
    return num_feedback, num_answers, rated


def _publish(
    folder: Path, files: Mapping[str, list[Row]], counts: Counter[str], models: list[str], *, mask: bool
) -> bool:
    """Write the export to a temporary folder, then rename it; return False if ``folder`` holds it already."""
    contents = {
        name: b"".join(manifest.canonical(row) + b"\n" for row in rows) for name, rows in files.items()
    }
    entries = [
        FileEntry(path=name, size=len(data), rows=len(files[name]), sha256=hashlib.sha256(data).hexdigest())
        for name, data in contents.items()
    ]
    config = {"mask": mask}
    made = Manifest(
        stage=STAGE,
        fingerprint=manifest.fingerprint(STAGE, config, [entry.sha256 for entry in entries]),
        config=config,
        inputs=[],
        counts=dict(sorted(counts.items())),
        files=entries,
        facts={"models": models},
    )
    if folder.exists():
        _check_identical(folder, made)
        return False
    try:
        _write(folder, contents, made)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --to") from None
    return True


def _write(folder: Path, contents: Mapping[str, bytes], made: Manifest) -> None:
    """Write the files and the manifest to a temporary folder and rename it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        complete = Path(temporary) / "export"
        complete.mkdir()
        for name, data in contents.items():
            (complete / name).write_bytes(data)
        manifest.publish(str(complete), made)
        complete.rename(folder)


def _check_identical(folder: Path, made: Manifest) -> None:
    """Raise :class:`OutputError` unless the folder holds this export."""
    path = folder / manifest.NAME
    if not path.is_file() or manifest.read(str(folder), STAGE) != made:
        raise OutputError(f"{folder}: already has other content; choose another --to or remove it")
    manifest.verify(str(folder), made)
