"""The history of one record, from its raw bytes to the decision, as text."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow.dataset as ds

from core import manifest
from core.errors import InputError
from core.manifest import Manifest
from pipeline.ledger import lookup
from pipeline.ledger.filter_settings import filter_settings
from pipeline.ledger.reasons import RULES, Reason, satisfies
from pipeline.ledger.tables import COPIES, LEDGER, RECORDS

Row = Mapping[str, Any]

MAX_ITEMS = 5
"""Evaluation items that are listed."""


def record_histories(run: str, key: str) -> Iterator[str]:
    """Yield the history of every record of a finished run whose id or URL is ``key``.

    Raises :class:`InputError` if there is none.
    """
    made = manifest.read(run, *manifest.CORPUS_STAGES)
    records = lookup.open_table(run, RECORDS)
    column = "id" if re.fullmatch("[0-9a-f]{32}", key) else "url"
    found = lookup.find_rows(records, ds.field(column) == key)
    if not found:
        raise InputError(
            f"{key}: no record of {run} has this {column}; copy one from the ledger (sample shows some)"
        )
    ids = ds.field("id").isin([record["id"] for record in found])
    entries = {row["id"]: row for row in lookup.find_rows(lookup.open_table(run, LEDGER), ids)}
    sizes = {
        row["id"]: row["cluster_size"]
        for row in lookup.find_rows(lookup.open_table(run, COPIES), ids, ["id", "cluster_size"])
    }
    urls = survivor_urls(records, entries.values())
    for record in sorted(found, key=lambda record: (record["language"] is None, record["id"])):
        entry = {**entries.get(record["id"], {}), "cluster_size": sizes.get(record["id"], 1)}
        yield "\n".join(_lines(record, entry, urls, made))


def survivor_urls(records: ds.Dataset, entries: Iterable[Row]) -> dict[str, str]:
    """Return the URLs, by id, of the documents of this run that entries of the ledger are duplicates of."""
    ids = [row["duplicate_of"] for row in entries if row["duplicate_of"] and not row.get("duplicate_in")]
    found = lookup.find_rows(records, ds.field("id").isin(ids), ["id", "url"]) if ids else []
    return {row["id"]: row["url"] or "" for row in found}


def describe_survivor(entry: Row, urls: Mapping[str, str]) -> str:
    """Name the document that the one of a ledger entry is a duplicate of. ``urls``: by id."""
    survivor = entry["duplicate_of"]
    if generation := entry.get("duplicate_in"):
        return f"{survivor} of an earlier run ({generation} of the signature index)"
    return f"{survivor} {printable(urls.get(survivor, ''))}".rstrip()


def _lines(record: Row, entry: Row, urls: Mapping[str, str], made: Manifest) -> Iterator[str]:
    """Yield the lines about a record. ``entry``: its row in the ledger, and ``cluster_size``."""
    filters = filter_settings(made)
    yield f"{record['id']}: {_decision(record, entry, urls, filters['languages'])}"
    origin = record["origin"]
    length = f"{origin['length']:,} bytes " if origin["length"] else ""  # unknown for a page within a stream
    facts = {
        "raw record": f"{origin['path']}, {length}at byte {origin['offset']:,}",
        "source": record["source"],
        "url": record["url"],
        "title": record["title"],
        "fetched": record["fetched_at"],
        "license": record["license"],
        "language": record["language"]
        and f"{record['language']}, score {format_number(record['language_score'])}",
        "words": record["words"] and f"{record['words']:,}",
        "duplicates": entry["cluster_size"] > 1 and f"a cluster of {entry['cluster_size']:,} documents",
        "cut": entry.get("cut_characters")
        and f"{entry['cut_characters']:,} characters of repeated lines and passages",
        "evaluation": ", ".join(_evaluation_items(record.get("contamination"))),
    }
    for name, fact in facts.items():
        if fact:
            yield f"  {name:<11} {printable(str(fact))}"
    if metrics := list(_metrics(record, _thresholds(filters, record["language"]))):
        yield "  metrics"
        yield from metrics
    if not record["error"]:
        yield "  text"
        yield indented(_text(record, made.config["ledger"]))


def _evaluation_items(contamination: Row | None) -> Iterator[str]:
    """Describe the items of evaluation sets that a text contained."""
    matches = contamination["matches"] if contamination else []
    for match in matches[:MAX_ITEMS]:
        yield f"item {match['item']:,} of {match['benchmark']} ({match['hits']:,} n-grams)"
    if len(matches) > MAX_ITEMS:
        yield f"{len(matches) - MAX_ITEMS:,} more items"


def _text(record: Row, settings: Mapping[str, Any]) -> str:
    if text := record["text"] or record["sample"]:
        return str(text[: settings["sample_characters"]])
    return f"(not stored: ledger.sample_share stores {settings['sample_share']:.0%} of dropped texts)"


def _decision(record: Row, entry: Row, urls: Mapping[str, str], languages: Sequence[str]) -> str:
    if record["error"]:
        return f"quarantined, because it could not be read: {printable(record['error'])}"
    if not (name := entry["reason"]):
        return "kept and published"
    reason = Reason(name)
    decision = f"dropped by {name}, because {reason.meaning}"
    if entry["duplicate_of"]:
        return f"{decision}: {describe_survivor(entry, urls)}"
    if reason is Reason.LANGUAGE_UNWANTED and languages:
        return f"{decision}: {record['language']}, not {', '.join(languages)}"
    return f"{decision}{describe_value(reason, entry['value'], entry['threshold'])}"


def describe_value(reason: Reason, value: float | None, threshold: float | None) -> str:
    """Return the value and the requirement as a clause to append to a sentence; empty without numbers."""
    unmeasured = "number of n-grams" if reason is Reason.CONTAMINATION else "it"
    metric, bound = RULES.get(reason, (unmeasured, "at most"))
    requirement = "" if threshold is None else f"must be {bound} {format_number(threshold)}"
    if value is None:
        return requirement and f": {metric} {requirement}"
    return f": {metric} is {format_number(value)}" + (requirement and f", and {requirement}")


def _thresholds(filters: Row, language: str | None) -> dict[str, float]:
    """Return the thresholds in force for a text in ``language``, by reason."""
    by_language = filters["thresholds_by_language"]
    return {
        name: by_language.get(name, {}).get(language, limit) for name, limit in filters["thresholds"].items()
    }


def _metrics(record: Row, thresholds: Mapping[str, float]) -> Iterator[str]:
    """Yield a line for every condition on a measured metric, and for metrics without conditions."""
    for metric, value in {"language_score": record["language_score"], **(record["metrics"] or {})}.items():
        if value is None:
            continue
        shown = f"{metric:<40} {format_number(value):>10}"
        conditions = [reason for reason in thresholds if RULES[Reason(reason)][0] == metric]
        if not conditions:
            yield f"          {shown}"
        for name in conditions:
            bound, threshold = RULES[Reason(name)][1], thresholds[name]
            mark = "ok" if satisfies(bound, value, threshold) else "FAILS"
            decided = " (decided)" if name == record["reason"] else ""
            yield f"    {mark:<6}{shown}  {bound} {format_number(threshold):<9} {name}{decided}"


def format_number(value: float) -> str:
    """Format a number with at most six significant digits, or as an integer if it is one."""
    return f"{int(value):,}" if value == int(value) else f"{value:.6g}"


def printable(text: str) -> str:
    """Replace control characters by spaces: crawled text must not send commands to the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def indented(text: str) -> str:
    """Indent the non-blank lines of crawled text, without control characters."""
    return "\n".join(f"    {printable(line)}" for line in text.splitlines() if line.strip())
