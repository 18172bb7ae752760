"""The report of a run, aggregated from its tables; no step gathers more than the page shows."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pyspark.sql import SparkSession

from core import manifest, storage
from core.config import Config, require
from core.manifest import Manifest
from core.shards import Facts
from pipeline import document, ledger
from pipeline.ledger import COPIES, LEDGER, RECORDS, FunnelStep
from pipeline.reports import Content, render
from pipeline.reports.funnel import funnel, groups
from pipeline.spark import breakdown, clean, clusters, filter_stats, record_processing, samples, tables

GROUPS = 15
"""Languages and sites shown, at most."""
POINTS = 400
"""Steps drawn of a training curve, at most."""


def report(spark: SparkSession, config: Config) -> str:
    """Write ``report.html`` beside the run's tables and return its path; a page that is up to date stays.

    Raises :class:`core.errors.ManifestError` where the clean stage is not finished. Packing and training
    are shown as far as they have come.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    made = manifest.read(out, clean.STAGE)
    parts = {
        "corpus": made.sha256(),
        "shards": _if_there(f"{out}/shards/{manifest.NAME}"),
        "metrics": _if_there(f"{out}/training/metrics.jsonl"),
        "validation": _if_there(f"{out}/training/validation.json"),
    }
    mark = f"<!-- {hashlib.sha256(manifest.canonical(parts)).hexdigest()} -->\n"
    path = storage.join(out, "report.html")
    if _if_there(path).startswith(mark):
        print("report: already done")
        return path
    page = render(content(spark, out, made, parts))
    storage.write_atomic(path, (mark + page).encode())
    return path


def _if_there(path: str) -> str:
    return storage.read_bytes(path).decode() if storage.exists(path) else ""


def content(spark: SparkSession, out: str, made: Manifest, parts: Mapping[str, str]) -> Content:
    """What the tables of ``out`` tell. ``parts``: the files of packing and training, empty where missing."""
    documents = tables.read(spark, f"{out}/documents", document.schema())
    entries = tables.read(spark, f"{out}/{LEDGER}", ledger.schema())
    records = tables.read(spark, f"{out}/{RECORDS}", record_processing.schema())
    copies = tables.read(spark, f"{out}/{COPIES}", clusters.schema())
    fates = breakdown.fates(entries, records)
    tokens = _tokens(parts["shards"])
    decided, undecided = filter_stats.filter_stats(records, made)
    filters, examples = samples.samples(entries, documents, copies, records, decided)
    return Content(
        counts=made.counts,
        preset=str(made.config["filters"]["preset"]),
        funnel=funnel(fates, made.counts["quarantined"], tokens, [each.stage for each in filters]),
        warnings=_warnings(made),
        sources=groups(fates, lambda fate: fate.source, GROUPS),
        languages=groups(fates, lambda fate: fate.language, GROUPS),
        sites=breakdown.sites(entries, GROUPS),
        filters=filters,
        undecided=undecided,
        cluster_sizes=breakdown.cluster_sizes(copies),
        clusters=examples,
        seconds=_seconds(out),
        tokens=tokens,
        loss=_loss(parts["metrics"]),
        validation=_validation(parts["validation"]),
        configuration=json.dumps(made.config, indent=2, ensure_ascii=False),
    )


def _warnings(made: Manifest) -> list[str]:
    steps = [FunnelStep.model_validate(step) for step in made.facts["funnel"]]
    return [step.warning for step in steps if step.warning]


def _seconds(out: str) -> list[tuple[str, float]]:
    """What was done and how long it took, as far as marks beside the tables tell."""
    folders = (RECORDS, COPIES, "documents", "tokenizer", "shards")
    return [told for folder in folders if (told := tables.read_timing(f"{out}/{folder}"))]


def _tokens(shards: str) -> dict[str, int]:
    """Tokens in shards by source, those of validation too."""
    if not shards:
        return {}
    facts = Facts.model_validate(json.loads(shards)["facts"])
    found: Counter[str] = Counter()
    for sources in facts.sources.values():
        found.update({source: totals.tokens for source, totals in sources.items()})
    return dict(found)


def _loss(metrics: str) -> list[tuple[int, float]]:
    """The training curve, thinned evenly."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in metrics.splitlines()]
    points = [(int(line["step"]), float(line["train/loss"])) for line in lines if "train/loss" in line]
    return points[:: max(1, len(points) // POINTS)]


def _validation(text: str) -> dict[str, tuple[float, float]]:
    if not text:
        return {}
    sources: dict[str, dict[str, float]] = json.loads(text)["sources"]
    return {
        source: (bits["bits_per_byte"], bits["unigram_bits_per_byte"]) for source, bits in sources.items()
    }
