"""Run records as text: the steps of one run, and two runs side by side."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from core.messages import counted, duration
from pipeline.runs.record import Attempt, RunRecord, Step


class Measure(NamedTuple):
    """A number of a step: its label, its value, and how it is printed."""

    label: str
    value: Callable[[Step], float]
    show: Callable[[float], str]


def show_count(number: float) -> str:
    """Format a whole number: ``12,345``."""
    return f"{number:,.0f}"


def show_bytes(number: float) -> str:
    """Format a size in bytes with a binary unit: ``1.5 GiB``."""
    size, units = float(number), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while size >= 1024 and (larger := next(units, None)):
        size, unit = size / 1024, larger
    return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"


def _usage(name: str) -> Callable[[Step], float]:
    return lambda step: float(getattr(step.usage, name))


MEASURES = (
    Measure("wall time", lambda step: step.seconds, duration),
    Measure("task time", _usage("executor_seconds"), duration),
    Measure("JVM CPU time", _usage("cpu_seconds"), duration),
    Measure("garbage collection", _usage("gc_seconds"), duration),
    Measure("tasks", _usage("tasks"), show_count),
    Measure("failed tasks", _usage("failed_tasks"), show_count),
    Measure("killed tasks", _usage("killed_tasks"), show_count),
    Measure("speculative tasks", _usage("speculative_tasks"), show_count),
    Measure("retried stages", _usage("retried_stages"), show_count),
    Measure("records read", _usage("records_read"), show_count),
    Measure("records written", _usage("records_written"), show_count),
    Measure("bytes read", _usage("bytes_read"), show_bytes),
    Measure("bytes written", _usage("bytes_written"), show_bytes),
    Measure("shuffle written", _usage("shuffle_bytes_written"), show_bytes),
    Measure("spilled to disk", _usage("disk_spilled"), show_bytes),
    Measure("peak task memory", _usage("peak_task_memory"), show_bytes),
    Measure("peak JVM heap", _usage("peak_jvm_heap"), show_bytes),
    Measure("peak JVM resident", _usage("peak_jvm_resident"), show_bytes),
    Measure("peak Python resident", _usage("peak_python_resident"), show_bytes),
    Measure("stages not recorded", _usage("missing_stages"), show_count),
)
_COLUMNS = (
    "wall time",
    "tasks",
    "failed tasks",
    "records written",
    "bytes written",
    "shuffle written",
    "spilled to disk",
    "peak task memory",
    "peak Python resident",
)


def describe(record: RunRecord) -> Iterator[str]:
    """Yield the lines of ``show``: each attempt with its steps."""
    for number, attempt in enumerate(record.attempts, 1):
        yield f"{record.stage}, attempt {number} of {len(record.attempts)}: {_summary(attempt)}"
        yield f"  {_environment(attempt)}"
        yield from _indented(_steps(attempt))


def _summary(attempt: Attempt) -> str:
    ended = f" to {attempt.ended}" if attempt.ended else ", without an end: it runs or was killed"
    outcome = f", {attempt.outcome}" if attempt.ended else ""
    read = f", {show_bytes(attempt.input_bytes)} of raw input" if attempt.input_bytes else ""
    return f"{attempt.started}{ended}{outcome}{read}"


def _environment(attempt: Attempt) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in attempt.versions.items())
    return f"{_cluster(attempt)}; {versions}"


def _cluster(attempt: Attempt) -> str:
    cluster = attempt.cluster
    return f"{cluster.master}, {counted(cluster.executors, 'executor')}, {counted(cluster.cores, 'core')}"


def _steps(attempt: Attempt) -> list[str]:
    shown = [measure for measure in MEASURES if measure.label in _COLUMNS]
    shown = [measure for measure in shown if any(measure.value(step) for step in attempt.steps)]
    rows = [["step", *(measure.label for measure in shown)]]
    for step in attempt.steps:
        name = step.name if step.outcome == "finished" else f"{step.name} ({step.outcome})"
        rows.append([name, *(_show(measure, step) for measure in shown)])
    return align(rows)


def _show(measure: Measure, step: Step | None) -> str:
    value = measure.value(step) if step else 0
    return measure.show(value) if value else "-"


def compare(one: RunRecord, other: RunRecord, names: tuple[str, str]) -> Iterator[str]:
    """Yield the lines of ``compare``: by step, each measure of both runs and the second by the first.

    Measures that are 0 in both are left out. A step that only one of the runs has is shown without ratios.
    """
    for label, name, record in zip("AB", names, (one, other), strict=True):
        yield f"{label}: {name}: {record.stage}, {counted(len(record.attempts), 'attempt')}"
        yield from (f"   {_environment(attempt)}" for attempt in record.attempts[-1:])
    same = "the same" if one.fingerprint == other.fingerprint else "different"
    yield f"configuration and input: {same}"
    first, second = one.last_steps(), other.last_steps()
    rows = [["", "A", "B", "B/A"]]
    for name in dict.fromkeys([*first, *second]):
        rows.append([name, "", "", ""])
        rows += _measures(first.get(name), second.get(name))
    totals = [sum(step.seconds for step in steps.values()) for steps in (first, second)]
    rows.append(["all steps", *map(duration, totals), _ratio(*totals)])
    yield from align(rows)


def _measures(one: Step | None, other: Step | None) -> Iterator[list[str]]:
    for measure in MEASURES:
        values = [measure.value(step) if step else 0.0 for step in (one, other)]
        if any(values):
            ratio = _ratio(*values) if one and other else ""
            yield [f"  {measure.label}", _show(measure, one), _show(measure, other), ratio]


def _ratio(one: float, other: float) -> str:
    return f"{other / one:.2f}" if one else "-"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns: the first one to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _indented(lines: Sequence[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
