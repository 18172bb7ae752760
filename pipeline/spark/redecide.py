"""A finished run of moderate size decided anew in this process: done before a cluster has started.

Plain Python over Arrow tables, without Spark; ``rethreshold.py`` does the same to runs of any size.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.parquet as pq

from core import storage
from core.config import DedupConfig
from pipeline.filters.recipe import Recipe, first_failing
from pipeline.ledger import COPIES, RECORDS, Reason
from pipeline.ledger.comparison import QUARANTINED, Change
from pipeline.ledger.tables import files
from pipeline.spark.components import roots

MOST_RECORDS = 200_000
"""Of a run that is decided here: some ten seconds and a gigabyte."""

Row = Mapping[str, Any]


def redecide(run: str, columns: list[str], wanted: Recipe, settings: DedupConfig) -> list[Change]:
    """How many of a run's records go from which fate to which."""
    before = {row["id"]: row["reason"] for row in _rows(run, COPIES, ["id", "reason"])}
    rows = list(_rows(run, RECORDS, columns))
    decided = [decide(row, wanted) for row in rows]
    kept = [row for row, (reason, _) in zip(rows, decided, strict=True) if not (reason or row["error"])]
    after = _copies(kept, settings)
    counts: Counter[tuple[str | None, str | None, str | None, str | None]] = Counter()
    for row, (reason, unasked) in zip(rows, decided, strict=True):
        fates = before.get(row["id"]) or row["reason"], after.get(row["id"]) or reason
        if row["error"]:
            fates = QUARANTINED, QUARANTINED
        counts[*fates, row["language"], unasked] += 1
    return [Change(*key, records=count) for key, count in counts.items()]


def _rows(run: str, table: str, columns: list[str]) -> Iterator[Row]:
    """Those of a table, file by file: Arrow's data sets would first load pandas, which takes as long."""
    for path in files(run, table):
        with storage.open_read(path) as stream:
            yield from pq.ParquetFile(stream).read(columns).to_pylist()


def decide(row: Row, wanted: Recipe) -> tuple[str | None, str | None]:
    """What drops a record now, copies aside, and why that is not certain: as ``rethreshold.decide`` says."""
    before, score, metrics = row["reason"], row["language_score"], row["metrics"] or {}
    stage = Reason(before).stage if before else ""
    if stage == "read":
        return before, None
    if drop := first_failing(wanted, metrics, row["language"] or "", score):
        return drop.reason.value, None
    if score is None:
        return before, before if stage == "url" else None
    for condition in wanted.on_text:
        if condition.metric != "language_score" and metrics.get(condition.metric) is None:
            return None, condition.reason.value
    return None, None if row["keys"] else Reason.NEAR_DUPLICATE.value


def _copies(kept: list[Row], settings: DedupConfig) -> dict[str, str]:
    """Which documents are dropped as copies, and why: by the rules of ``clusters.py``."""
    met: dict[int, str] = {}
    pairs = [(row["id"], met.setdefault(key, row["id"])) for row in kept for key in row["keys"] or ()]
    root_of = roots((one, other) for one, other in pairs if one != other)
    clusters: dict[str, list[Row]] = defaultdict(list)
    for row in kept:
        if row["id"] in root_of:
            clusters[root_of[row["id"]]].append(row)
    return {
        identifier: reason
        for members in clusters.values()
        for identifier, reason in _dropped(members, settings)
    }


def _dropped(members: list[Row], settings: DedupConfig) -> Iterator[tuple[str, str]]:
    best = min(members, key=lambda row: (-row["words"], row["id"]))["id"]
    first: dict[str, str] = {}
    for row in sorted(members, key=lambda row: row["id"]):
        if first.setdefault(row["text_hash"], row["id"]) != row["id"] and settings.exact:
            yield row["id"], Reason.EXACT_DUPLICATE.value
        elif row["id"] != best and settings.near:
            yield row["id"], Reason.NEAR_DUPLICATE.value
