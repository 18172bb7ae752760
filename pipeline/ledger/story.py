"""One record's whole story, from the raw bytes to the decision, as lines of text."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.dataset as ds

from core import manifest
from core.errors import InputError
from core.manifest import Manifest
from pipeline.ledger import lookup
from pipeline.ledger.reasons import RULES, Reason, satisfies
from pipeline.ledger.tables import COPIES, RECORDS

Row = Mapping[str, Any]


def stories(run: str, key: str) -> Iterator[str]:
    """The story of every record of a finished run with this id or exactly this address.

    Raises :class:`InputError` if there is none.
    """
    made = manifest.read(run, "clean")
    records = lookup.table(run, RECORDS)
    name = "id" if re.fullmatch("[0-9a-f]{32}", key) else "url"
    found = lookup.rows(records, ds.field(name) == key)
    if not found:
        raise InputError(
            f"{key}: no record of {run} has this {name}; take one as its ledger writes it (sample shows some)"
        )
    ids = ds.field("id").isin([record["id"] for record in found])
    copies = {copy["id"]: copy for copy in lookup.rows(lookup.table(run, COPIES), ids)}
    others = addresses(records, [copy["duplicate_of"] for copy in copies.values()])
    for record in sorted(found, key=lambda record: (record["language"] is None, record["id"])):
        copy = copies.get(record["id"], {})
        yield "\n".join(_lines(record, copy, others, made))


def addresses(records: ds.Dataset, ids: list[str | None]) -> dict[str, str]:
    """The URL of each of some documents, by id."""
    wanted = [each for each in ids if each]
    found = lookup.rows(records, ds.field("id").isin(wanted), ["id", "url"]) if wanted else []
    return {row["id"]: row["url"] or "" for row in found}


def _lines(record: Row, copy: Row, others: Mapping[str, str], made: Manifest) -> Iterator[str]:
    yield f"{record['id']}: {_decision(record, copy, others, made)}"
    origin = record["origin"]
    length = f"{origin['length']:,} bytes " if origin["length"] else ""  # a page within a stream has none
    facts = {
        "raw record": f"{origin['path']}, {length}from byte {origin['offset']:,} on",
        "source": record["source"],
        "url": record["url"],
        "title": record["title"],
        "fetched": record["fetched_at"],
        "license": record["license"],
        "language": record["language"] and f"{record['language']}, score {number(record['language_score'])}",
        "words": record["words"] and f"{record['words']:,}",
        "copies": copy and f"a cluster of {copy['cluster_size']:,} documents",
    }
    for name, fact in facts.items():
        if fact:
            yield f"  {name:<11} {printable(str(fact))}"
    if measures := list(_measures(record, _thresholds(made, record["language"]))):
        yield "  measures"
        yield from measures
    if not record["error"]:
        yield "  text"
        yield indented(_text(record, made.config["ledger"]))


def _text(record: Row, settings: Mapping[str, Any]) -> str:
    if text := record["text"] or record["sample"]:
        return str(text[: settings["sample_characters"]])
    return f"(not kept: of dropped texts, ledger.sample_share keeps {settings['sample_share']:.0%})"


def _decision(record: Row, copy: Row, others: Mapping[str, str], made: Manifest) -> str:
    if record["error"]:
        return f"quarantined, because it could not be read: {printable(record['error'])}"
    name = copy.get("reason") or record["reason"]
    if not name:
        return "kept and published"
    reason = Reason(name)
    told = f"dropped by {name}, because {reason.meaning}"
    if copy.get("duplicate_of"):
        other = copy["duplicate_of"]
        return f"{told}: {other} {printable(others.get(other, ''))}".rstrip()
    if reason is Reason.LANGUAGE_UNWANTED:
        wanted = ", ".join(made.config["filters"]["languages"])
        return f"{told}: {record['language']}, not {wanted}"
    return f"{told}{comparison(reason, record['value'], record['threshold'])}"


def comparison(reason: Reason, value: float | None, threshold: float | None) -> str:
    """What was found beside what is demanded, to follow a sentence; nothing where there is no number."""
    metric, bound = RULES.get(reason, ("it", "at most"))
    demanded = "" if threshold is None else f"must be {bound} {number(threshold)}"
    if value is None:
        return demanded and f": {metric} {demanded}"
    return f": {metric} is {number(value)}" + (demanded and f", and {demanded}")


def _thresholds(made: Manifest, language: str | None) -> dict[str, float]:
    """The conditions in force, by reason, for a text in that language."""
    filters = made.config["filters"]
    by_language = filters.get("thresholds_by_language", {})
    return {
        name: by_language.get(name, {}).get(language, limit) for name, limit in filters["thresholds"].items()
    }


def _measures(record: Row, thresholds: Mapping[str, float]) -> Iterator[str]:
    """Every measure that was taken, beside each condition on it."""
    for metric, value in {"language_score": record["language_score"], **(record["metrics"] or {})}.items():
        if value is None:
            continue
        shown = f"{metric:<40} {number(value):>10}"
        conditions = [reason for reason in thresholds if RULES[Reason(reason)][0] == metric]
        if not conditions:
            yield f"          {shown}"
        for name in conditions:
            bound, threshold = RULES[Reason(name)][1], thresholds[name]
            mark = "ok" if satisfies(bound, value, threshold) else "FAILS"
            decided = " (decided)" if name == record["reason"] else ""
            yield f"    {mark:<6}{shown}  {bound} {number(threshold):<9} {name}{decided}"


def number(value: float) -> str:
    """As few digits as say what it is."""
    return f"{int(value):,}" if value == int(value) else f"{value:.6g}"


def printable(text: str) -> str:
    """Text of a crawl on one line, without the characters by which it could command a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def indented(text: str) -> str:
    """Text of a crawl, set off from what is said of it."""
    return "\n".join(f"    {printable(line)}" for line in text.splitlines() if line.strip())
