"""Tables and charts of the runs of ``scale.py``: flatness over time, growth with the input."""

import csv
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from core.errors import InputError
from core.html.curves import HEIGHT, WIDTH, Series, chart

WINDOWS = 10
"""Equal parts of the time in which the crawl is read. The first and the last one are not compared: workers
load their models, and the last tasks leave cores idle."""
MIN_SECONDS = 120.0
"""Time of reading below which windows say nothing: a window then has less than some hundred pages a core."""
READING = "reading"
GB, MB = 1e9, 1e6
CRAWL_GB = 80_000
"""Compressed WARC of one crawl of Common Crawl, about."""
CORES = 2
"""Cores that every run uses."""
MEMORY = {
    "driver_jvm": "driver's JVM",
    "driver_python": "driver's Python",
    "executor_jvm": "executors' JVMs",
    "workers": "Python workers",
    "extraction": "extraction processes",
}
STYLE = """
svg { font: 12px system-ui, sans-serif } text { fill: #555 }
.end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #ddd } .axis { stroke: #888 } .line { fill: none; stroke: currentColor; stroke-width: 1.6 }
.title { font-weight: 600; fill: #222 } .key { font-size: 10px }
"""
COLOURS = ("#22201c", "#2c6e5a", "#c8602b", "#1f5e8a", "#8a6a10", "#7a3e8e", "#b0344f", "#6f675b")
Rows = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its series, and what it took."""

    name: str
    rows: Rows
    facts: Mapping[str, Any]

    @property
    def gigabytes(self) -> float:
        """Compressed input in GB."""
        return float(self.facts["input_bytes"]) / GB

    @property
    def master(self) -> str:
        """``local`` or ``spark``."""
        return str(self.facts["master"])

    def reading(self) -> Rows:
        """Return the rows of the series while the crawl is read."""
        return [row for row in self.rows if READING in row["step"] and row["rows"]]


def read_runs(folder: Path) -> list[Run]:
    """Return the runs whose series and facts are in a folder, also of interrupted ones."""
    found = []
    for file in sorted(folder.glob("*.csv")):
        facts = file.with_suffix(".json")
        if facts.exists():
            with file.open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            found.append(Run(file.stem, rows, json.loads(facts.read_text(encoding="utf-8"))))
    return sorted(found, key=lambda each: (each.master, each.gigabytes))


def rates(rows: Rows) -> list[float]:
    """Return the rows per second in each window of the time of reading, without the first and the last."""
    seconds = np.array([float(row["rows_seconds"]) for row in rows])
    done = np.array([float(row["rows"]) for row in rows])
    bounds = np.linspace(seconds[0], seconds[-1], WINDOWS + 1)
    speeds = np.diff(np.interp(bounds, seconds, done)) / np.diff(bounds)
    return [float(speed) for speed in speeds[1:-1]]


def means(rows: Rows, column: str) -> list[float]:
    """Return the means of a column in the same windows; empty if it was not measured."""
    seconds = np.array([float(row["seconds"]) for row in rows if row[column]])
    values = np.array([float(row[column]) for row in rows if row[column]])
    if not len(values):
        return []
    numbers = np.minimum((seconds - seconds[0]) / max(np.ptp(seconds), 1) * WINDOWS, WINDOWS - 1).astype(int)
    return [
        float(values[numbers == each].mean()) for each in range(1, WINDOWS - 1) if (numbers == each).any()
    ]


def spread(values: Sequence[float]) -> float:
    """Return the largest deviation from the mean, as a share of it."""
    mean = float(np.mean(values))
    return float(np.abs(np.array(values) - mean).max() / mean) if mean else 0.0


def trend(values: Sequence[float]) -> float:
    """Return by which share of the mean a straight line through the values rises from first to last."""
    mean = float(np.mean(values))
    if len(values) < 2 or not mean:
        return 0.0
    slope = float(np.polyfit(np.arange(len(values)), values, 1)[0])
    return slope * (len(values) - 1) / mean


def steps_of(facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield job and step, and the record of the step."""
    for job, steps in facts["steps"].items():
        for name, step in steps.items():
            yield f"{job}: {name}", step


def line(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return what is fixed and what a GB adds, by least squares over two sizes or more."""
    slope, fixed = np.polyfit(sizes, values, 1)
    return float(fixed), float(slope)


def write(folder: Path, output: Path) -> None:
    """Write the Markdown page, the chart beside it, and the slopes as JSON for other scripts."""
    found = read_runs(folder)
    if not found:
        raise InputError(f"{folder}: has no series; run benchmarks/scale.py with a crawl first")
    parts = ["# The chain at growing sizes", ""]
    cores = found[0].facts["cores"]
    parts += [
        f"`python benchmarks/scale.py` on {datetime.now(UTC):%Y-%m-%d}, {cores} cores, {platform.machine()}, "
        f"Python {platform.python_version()}. GB are compressed WARC, 10⁹ bytes. `local`: one JVM; `spark`: "
        "a standalone cluster of two workers with one core each, its driver in a JVM of its own.",
        "",
        f"![records per second and memory]({output.with_suffix('.svg').name})",
        "",
        *_over_time(found),
        *_duplicates(found),
    ]
    for master in dict.fromkeys(each.master for each in found):
        parts += _growth([each for each in found if each.master == master])
    output.write_text("\n".join(parts) + "\n", encoding="utf-8")
    output.with_suffix(".svg").write_text(draw(found), encoding="utf-8")


def _over_time(found: Sequence[Run]) -> list[str]:
    """Describe how flat the runs are while the crawl is read."""
    lines = [
        "## Over time, while the crawl is read",
        "",
        f"Means of {WINDOWS - 2} equal parts of the time, without the first and the last tenth. *Deviation*: "
        "the largest from their mean; *trend*: rise of a straight line through them. Memory in MB: "
        "proportional resident size, and heap in use after collections.",
        "",
        "| run | GB | records/s | deviation | trend | "
        + " | ".join(f"{name}, trend" for name in MEMORY.values())
        + " | driver's heap | executor's heap |",
        "|---|--:|--:|--:|--:|" + "--:|" * (len(MEMORY) + 2),
    ]
    for each in found:
        rows = each.reading()
        if len(rows) < 2 * WINDOWS or float(rows[-1]["seconds"]) - float(rows[0]["seconds"]) < MIN_SECONDS:
            lines.append(f"| {each.name} | {each.gigabytes:.2f} | too short |")
            continue
        speed = rates(rows)
        cells = [f"{np.mean(speed):,.0f}", f"{spread(speed):.0%}", f"{trend(speed):+.0%}"]
        for kind in MEMORY:
            values = means(rows, kind)
            cells.append(f"{np.mean(values) / MB:,.0f}, {trend(values):+.0%}" if any(values) else "–")
        for column in ("driver_heap", "executor_heap"):
            values = means(rows, column)
            cells.append(f"{np.mean(values) / MB:,.0f}, {trend(values):+.0%}" if any(values) else "–")
        lines.append(f"| {each.name} | {each.gigabytes:.2f} | {' | '.join(cells)} |")
    return [*lines, ""]


def _duplicates(found: Sequence[Run]) -> list[str]:
    """Describe what was found of the copies that the crawl is known to have."""
    lines = [
        "## Known duplicates",
        "",
        "*Copies*: pages that passed the filters and repeat another one that did. *Others*: pages that were "
        "dropped as a duplicate of a page with other words.",
        "",
        "| run | pages | kept | groups | copies | found | exact | near | others |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in found:
        if known := each.facts.get("duplicates"):
            numbers = [f"{known[key]:,}" for key in ("pages", "kept", "groups", "copies", "found")]
            recalls = [f"{known['recall'].get(kind, 1):.2%}" for kind in ("exact", "near")]
            lines.append(f"| {each.name} | {' | '.join([*numbers, *recalls])} | {known['others']:,} |")
    return [*lines, ""]


def _growth(found: Sequence[Run]) -> list[str]:
    """Describe how steps, tables and peaks of memory grow with the input, for the runs on one master."""
    finished = [each for each in found if not each.facts["stopped"]]
    sizes = [each.gigabytes for each in finished]
    if len(set(sizes)) < 2:
        return []
    heads = [f"{size:.2g} GB" for size in sizes]
    lines = [
        f"## Growth with the input, `{finished[0].master}`",
        "",
        "*A GB more* is the slope of a straight line through the sizes, *fixed* its value at 0. *A crawl*: "
        f"what {CRAWL_GB / 1000:g} TB would take by the slope, time as core hours of the {CORES} cores.",
        "",
        f"| | unit | {' | '.join(heads)} | fixed | a GB more | a crawl |",
        "|---|---|" + "--:|" * (len(sizes) + 3),
    ]
    rows: list[tuple[str, str, list[float]]] = []
    names = dict.fromkeys(name for each in finished for name, _ in steps_of(each.facts))
    usages: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "s": lambda step: step["seconds"],
        "MB shuffled": lambda step: step["usage"]["shuffle_bytes_written"] / MB,
        "MB spilled": lambda step: step["usage"]["disk_spilled"] / MB,
    }
    for name in names:
        for unit, value in usages.items():
            values = [value(dict(steps_of(each.facts)).get(name, _EMPTY)) for each in finished]
            if any(each > 0.05 for each in values):
                rows.append((name, unit, values))
    for table in finished[0].facts["tables"]:
        rows.append((f"`{table}`", "MB stored", [each.facts["tables"][table] / MB for each in finished]))
    rows.append(("`manifest.json`", "kB stored", [each.facts["manifest_bytes"] / 1e3 for each in finished]))
    for column, title in (*MEMORY.items(), ("largest_worker", "largest Python worker")):
        peaks = [_peak(each.rows, column) / MB for each in finished]
        if any(peaks):
            rows.append((title, "MB peak", peaks))
    for column, title in (("driver_heap", "driver's heap"), ("executor_heap", "executor's heap")):
        peaks = [_peak(each.rows, column) / MB for each in finished]
        if any(peaks):
            rows.append((f"{title} after collections", "MB peak", peaks))
    rows.append(("temporary files", "MB peak", [_peak(each.rows, "local_bytes") / MB for each in finished]))
    for name, unit, values in rows:
        fixed, slope = line(sizes, values)
        cells = [f"{value:,.1f}" for value in (*values, fixed, slope)]
        lines.append(f"| {name} | {unit} | {' | '.join(cells)} | {_of_crawl(unit, slope)} |")
    return [*lines, ""]


_EMPTY: Mapping[str, Any] = {"seconds": 0.0, "usage": {"shuffle_bytes_written": 0, "disk_spilled": 0}}


def _of_crawl(unit: str, slope: float) -> str:
    """Return what a crawl would take, by the slope; peaks of memory are not extrapolated."""
    if unit == "s":
        return f"{slope * CRAWL_GB * CORES / 3600:,.0f} core h"
    if unit.startswith("MB") and "peak" not in unit:
        return f"{slope * CRAWL_GB / 1e6:,.2f} TB"
    return ""


def _peak(rows: Rows, column: str) -> float:
    return max((float(row[column]) for row in rows if row[column]), default=0.0)


def draw(found: Sequence[Run]) -> str:
    """Draw, for the largest run on each master, records per second and memory over time: one SVG."""
    largest = {each.master: each for each in found}  # they are in ascending order
    charts = []
    for each in largest.values():
        title = f"{each.master}, {each.gigabytes:.2g} GB"
        if speeds := _speeds(each.reading()):
            charts.append(
                (f"{title}: records per second by second of reading", [Series("records/s", speeds, 1)])
            )
        memory = [
            Series(label, _points(each.rows, kind), n) for n, (kind, label) in enumerate(MEMORY.items())
        ]
        drawn = [series for series in memory if any(value for _, value in series.points)]
        if drawn:
            charts.append((f"{title}: resident memory, bytes by second", drawn))
        heaps = [
            Series(label, _points(each.rows, column), number)
            for number, (column, label) in enumerate(
                (("driver_heap", "driver's heap"), ("executor_heap", "executors' heap"))
            )
        ]
        if heaps := [series for series in heaps if series.points]:
            charts.append((f"{title}: heap after collections, bytes by second", heaps))
    panels = []
    height = HEIGHT + 50
    for number, (title, series) in enumerate(charts):
        inner = str(chart(title, series, from_zero=True))
        placed = inner.replace("<svg ", f'<svg y="40" width="{WIDTH}" height="{HEIGHT}" ', 1)
        key = Markup(" ").join(
            Markup('<tspan class="series-{}">■ {}</tspan>').format(each.colour, each.label) for each in series
        )
        head = Markup(
            '<text x="8" y="16" class="title">{}</text><text x="8" y="33" class="key">{}</text>'
        ).format(title, key)
        panels.append(f'<svg y="{number * height}" width="{WIDTH}" height="{height}">{head}{placed}</svg>')
    colours = "".join(
        f".series-{number} {{ color: {colour} }} tspan.series-{number} {{ fill: {colour} }}\n"
        for number, colour in enumerate(COLOURS)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height * len(charts)}">'
        f'<style>{STYLE}{colours}</style><rect width="100%" height="100%" fill="#fff"/>'
        f"{''.join(panels)}</svg>\n"
    )


def _speeds(rows: Rows) -> list[tuple[int, float]]:
    """Return rows per second over about a fiftieth of the time each, by second."""
    if len(rows) < 3:
        return []
    seconds = np.array([float(row["rows_seconds"]) for row in rows])
    done = np.array([float(row["rows"]) for row in rows])
    bounds = np.linspace(seconds[0], seconds[-1], min(51, len(rows)))
    speeds = np.diff(np.interp(bounds, seconds, done)) / np.diff(bounds)
    return [
        (int(second), float(speed)) for second, speed in zip(bounds[1:] - seconds[0], speeds, strict=True)
    ]


def _points(rows: Rows, column: str) -> list[tuple[int, float]]:
    return [(int(float(row["seconds"])), float(row[column])) for row in rows if row[column]]
