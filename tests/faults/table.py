"""The fault table, from the reports of pytest."""

from collections.abc import Iterable
from typing import Any, cast

import pytest

ORDER = ("local", "cluster", "S3", "HDFS")
"""Kinds of storage in the order of the columns; on the cluster, files are on local disk."""


def as_text(reports: Iterable[pytest.TestReport]) -> str:
    """Return a table in Markdown: a row for each fault and storage, a column for each stage."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    stages: list[str] = []
    failures: list[str] = []
    for report in reports:
        properties: dict[str, Any] = dict(report.user_properties)
        if "cell" not in properties:
            continue
        fault, stage, storage = cast(tuple[str, str, str], properties["cell"])
        if report.passed:
            verdict = str(properties.get("verdict", "no verdict"))
        else:
            failures.append(f"{fault}, {stage}, {storage}: {_reason(report)}")
            verdict = f"**wrong ({len(failures)})**"
        cells.setdefault((fault, storage), {})[stage] = verdict
        stages += [] if stage in stages else [stage]
    rows = sorted(cells, key=lambda key: ORDER.index(key[1]))
    lines = [f"| fault | storage | {' | '.join(stages)} |", f"|---|---|{'---|' * len(stages)}"]
    for fault, storage in rows:
        found = cells[fault, storage]
        lines.append(f"| {fault} | {storage} | {' | '.join(found.get(stage, '') for stage in stages)} |")
    lines += ["", *(f"{number}. {failure}" for number, failure in enumerate(failures, 1))]
    return "\n".join(lines).rstrip()


def _reason(report: pytest.TestReport) -> str:
    """Return the first line of the message with which a test failed."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr)
    return message.splitlines()[0].removeprefix("AssertionError: ")
