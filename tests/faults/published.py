"""Published output of a stage in a comparable form: equal for two runs if and only if their outputs are."""

import io
import json
from typing import Any

import pyarrow.parquet as pq

from core import manifest, storage
from core.manifest import Manifest
from model.formats.checkpoint import find_latest

FOLDERS = {"clean": "", "dedup": "", "train_tokenizer": "tokenizer", "pack": "shards", "train": "training"}
"""Folder of each job's output below ``output.path``."""
STAGES = {"train_tokenizer": "tokenizer"}
"""Name of the stage, where it is not that of the job."""
TABLES = ("documents", "ledger", "quarantine", "duplicates")


def published(out: str, job: str) -> dict[str, Any]:
    """Verify a stage's output against its manifest, and return its content, without locations and times.

    Raises an error if a file is altered, and :class:`AssertionError` if there are files that the manifest
    does not list or rows that occur twice.
    """
    folder = storage.join(out, FOLDERS[job]) if FOLDERS[job] else out
    found = manifest.read(folder, STAGES.get(job, job))
    manifest.verify(folder, found)
    content: dict[str, Any] = {"counts": found.counts}
    if job in ("clean", "dedup"):
        content |= {table: _rows(folder, table, found) for table in TABLES}
        content["facts"] = {name: found.facts.get(name) for name in ("corpus", "funnel", "personal_data")}
    elif job == "train":
        content["losses"] = _losses(folder)
        latest = find_latest(storage.join(folder, "checkpoints"))
        assert latest, "no checkpoint"
        manifest.verify(*latest)
        state = sorted(entry.sha256 for entry in latest[1].files if entry.path.endswith(".distcp"))
        content["checkpoint"] = (latest[1].counts, state)
    else:
        content["files"] = {entry.path: entry.sha256 for entry in found.files}
        content["facts"] = found.facts
        if job == "pack":
            listed = {storage.join(folder, path) for path in content["files"]}
            assert listed == {
                each.path for each in storage.list_files(folder) if each.path.endswith(".arrow")
            }
    return content


def is_published(out: str, job: str) -> bool:
    """True if the stage's manifest exists."""
    return storage.exists(storage.join(out, *filter(None, [FOLDERS[job]]), manifest.NAME))


def _rows(folder: str, table: str, found: Manifest) -> list[dict[str, Any]]:
    """Return a table's rows by id, from the files in the folder, which must be those of the manifest."""
    path = storage.join(folder, table)
    files = [each.path for each in storage.list_files(path)] if storage.exists(path) else []
    listed = {storage.join(folder, each.path) for each in found.files if each.path.startswith(f"{table}/")}
    assert set(files) == listed, f"{table}: has {files}, but the manifest lists {sorted(listed)}"
    rows: list[dict[str, Any]] = []
    for file in files:
        rows += pq.ParquetFile(io.BytesIO(storage.read_bytes(file))).read().to_pylist()
    rows.sort(key=lambda row: row["id"])
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids), f"{table}: has rows twice"
    return rows


def _losses(folder: str) -> list[dict[str, Any]]:
    """Return the metrics of each step, without speeds."""
    lines = storage.read_bytes(storage.join(folder, "metrics.jsonl")).splitlines()
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if not name.startswith(("perf/", "data/tokens_seen", "time"))
        }
        for line in lines
    ]
