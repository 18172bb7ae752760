"""``training.html``: a run while it trains and afterwards.

Curves by source, samples, skipped steps, the summary and the configuration. Like the report of the data, it
is one offline file. Its size does not grow with the number of steps.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Template

from core import html, storage
from train import guard
from train.reporting import summary
from train.reporting.figures import figures
from train.reporting.history import History
from train.training_run import SKIPPED_FOLDER

FILE = "training.html"
MAX_EVENTS, MAX_ROWS = 20, 5
"""Skipped steps that are shown, and rows of each: those with the highest losses."""
MAX_CHARACTERS = 2000
"""Of a shown sample."""


def write(folder: str, history: History) -> None:
    """Write the page of the run in ``folder``, whose metrics are ``history``."""
    storage.write_atomic(storage.join(folder, FILE), render(folder, history).encode())


def render(folder: str, history: History) -> str:
    """Return the page. All texts are escaped, since samples may be any text."""
    path = storage.join(folder, summary.FILE)
    of_run = json.loads(storage.read_bytes(path)) if storage.exists(path) else summary.EMPTY
    return _template().render(
        **of_run,
        configuration=json.dumps(of_run["config"], indent=2, ensure_ascii=False) if of_run["config"] else "",
        history=history,
        last=history.last,
        figures=list(figures(history)),
        sources=history.sources(),
        metrics={name: value for name, value in sorted(history.last.items()) if name.count("/") < 2},
        samples=list(_by_prompt(history)),
        events=[_event(folder, step, reason) for step, reason in [*history.skipped][: -MAX_EVENTS - 1 : -1]],
    )


@cache
def _template() -> Template:
    environment = html.environment(Path(__file__).with_name("templates"))
    return environment.get_template("training.html")


def _by_prompt(history: History) -> Iterator[tuple[str, Sequence[tuple[int, str]]]]:
    """Yield each prompt with the steps and texts of its samples, the last ones first."""
    found: dict[str, list[tuple[int, str]]] = {}
    for step, of_step in reversed(history.samples):
        for sample in of_step:
            found.setdefault(sample.prompt, []).append((step, sample.text[:MAX_CHARACTERS]))
    yield from found.items()


def _event(folder: str, step: int, reason: str) -> Mapping[str, Any]:
    """Return a skipped step, with its rows if they were recorded."""
    name = f"{SKIPPED_FOLDER}/{guard.record_name(step)}"
    path = storage.join(folder, name)
    rows = json.loads(storage.read_bytes(path))["rows"] if storage.exists(path) else []
    # A loss that is not finite is recorded as null.
    rows = sorted(rows, key=lambda row: (row["loss"] is not None, -(row["loss"] or 0.0)))
    return {"step": step, "reason": reason, "file": name if rows else "", "rows": rows[:MAX_ROWS]}
