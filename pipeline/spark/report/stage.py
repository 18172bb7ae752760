"""Aggregate the tables of a run into its report.

1. Check whether the report is up to date with the run, its tokenizer, its shards and its training.
2. Count records by source, language, site, reason and cluster size (``breakdown.py``).
3. Compute the statistics of every filter and metric (``filter_stats.py``).
4. Select example records (``samples.py``).
5. Render one HTML page (:mod:`pipeline.reports`).

The driver never collects more than the page shows.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pyspark.sql import SparkSession

from core import manifest, storage
from core.config import Config, require
from core.manifest import Manifest
from core.shards import Facts
from pipeline import document, ledger
from pipeline.decontamination import report as decontamination
from pipeline.ledger import COPIES, CUTS, LEDGER, RECORDS, FunnelStep, Reason
from pipeline.ledger.filter_settings import filter_settings
from pipeline.reports import Content, Edits, EvaluationSet, FoundItem, TokenLedger, render
from pipeline.reports.funnel import funnel, groups
from pipeline.reports.tokenizer import REPORT, TokenizerReport
from pipeline.spark import record_processing, tables
from pipeline.spark.report import breakdown, filter_stats, repeated_text, samples
from pipeline.spark.steps import step

MAX_GROUPS = 15
"""Maximum number of languages and of sites shown."""
MAX_POINTS = 400
"""Maximum number of points of the training curve."""


def report(spark: SparkSession, config: Config) -> str:
    """Write ``report.html`` to the output folder, unless it is up to date, and return its path.

    Tokenizer, packing and training are shown if they have produced output. Raises :class:`ManifestError` if
    the clean stage is not finished, and :class:`InputError` if its ``analysis/`` was removed.
    """
    require(config, "output.path")
    out = storage.absolute(config.output.path)
    training = storage.join(out, config.train.name)
    made = manifest.read(out, *manifest.CORPUS_STAGES)
    parts = {
        "corpus": made.sha256(),
        "tokenizer": _read_if_exists(f"{out}/tokenizer/{REPORT}"),
        "shards": _read_if_exists(f"{out}/shards/{manifest.NAME}"),
        "metrics": _read_if_exists(f"{training}/metrics.jsonl"),
        "validation": _read_if_exists(f"{training}/validation.json"),
    }
    mark = f"<!-- {hashlib.sha256(manifest.canonical(parts)).hexdigest()} -->\n"
    path = storage.join(out, "report.html")
    if _read_if_exists(path).startswith(mark):
        print("report: already done")
        return path
    ledger.records_folder(out)
    with step("report", "report: aggregating the tables"):
        page = render(collect_content(spark, out, made, parts))
    storage.write_atomic(path, (mark + page).encode())
    return path


def _read_if_exists(path: str) -> str:
    return storage.read_bytes(path).decode() if storage.exists(path) else ""


def collect_content(spark: SparkSession, out: str, made: Manifest, parts: Mapping[str, str]) -> Content:
    """Aggregate the tables of ``out``. ``parts``: files of later stages, maybe empty."""
    documents = tables.read_if_exists(spark, f"{out}/documents", document.schema())
    entries = tables.read(spark, f"{out}/{LEDGER}", ledger.schema())
    records = tables.read(spark, ledger.records_folder(out), record_processing.schema())
    copies = breakdown.lasting_copies(tables.read(spark, f"{out}/{COPIES}", ledger.copies_schema()), entries)
    fates = breakdown.count_fates(entries, records)
    shards = Facts.model_validate(json.loads(parts["shards"])["facts"]) if parts["shards"] else None
    tokens = _tokens(shards)
    filters, unfiltered = filter_stats.filter_stats(records, made)
    order = [*(each.stage for each in filters), Reason.EXACT_DUPLICATE.stage]
    filters, examples = samples.select_samples(entries, documents, copies, records, filters)
    return Content(
        counts=made.counts,
        preset=str(filter_settings(made)["preset"]),
        funnel=funnel(fates, made.counts["quarantined"], tokens, order),
        edits=_edits(made),
        warnings=_warnings(made),
        sources=groups(fates, lambda fate: fate.source, MAX_GROUPS),
        languages=groups(fates, lambda fate: fate.language, MAX_GROUPS),
        sites=breakdown.largest_sites(entries, MAX_GROUPS),
        filters=filters,
        unfiltered=unfiltered,
        cluster_sizes=breakdown.cluster_sizes(copies),
        clusters=examples,
        cut_clusters=breakdown.cut_clusters(spark, f"{out}/{COPIES}.cut"),
        repeated=repeated_text.repeated_text(spark, out, made, records),
        evaluation_sets=_evaluation_sets(made),
        seconds=_seconds(out),
        tokens=tokens,
        tokenizer=_tokenizer(parts["tokenizer"]),
        token_ledger=list(_token_ledger(shards)) if shards else [],
        loss=_loss(parts["metrics"]),
        validation=_validation(parts["validation"]),
        configuration=json.dumps(made.config, indent=2, ensure_ascii=False),
    )


def _edits(made: Manifest) -> list[Edits]:
    found = [
        Edits(
            source=source,
            documents=counts["documents"],
            edited=counts["edited"],
            lines=counts["removed_lines"],
            characters=counts["removed_characters"],
            of_characters=counts["characters"],
        )
        for source, counts in made.facts.get("edits", {}).items()
    ]
    return found if any(each.edited for each in found) else []


def _evaluation_sets(made: Manifest) -> list[EvaluationSet]:
    sets = made.facts.get("contamination", {}).get("sets", ())
    return [
        EvaluationSet(
            name=each["name"],
            items=each["items"],
            not_searched=each["too_short"] + each["unspecific"],
            items_hit=each["items_hit"],
            documents_hit=each["documents_hit"],
            top_items=[FoundItem(**item) for item in each["top_items"]],
        )
        for each in sets
    ]


def _warnings(made: Manifest) -> list[str]:
    steps = [FunnelStep.model_validate(step) for step in made.facts["funnel"]]
    contamination = made.facts.get("contamination", {})
    return [
        *(step.warning for step in steps if step.warning),
        *decontamination.warnings(contamination),
    ]


def _seconds(out: str) -> list[tuple[str, float]]:
    """Return the title and duration of every finished step."""
    folders = (RECORDS, COPIES, CUTS, "duplicates", "documents", "tokenizer", "shards")
    return [timing for folder in folders if (timing := tables.read_timing(f"{out}/{folder}"))]


def _tokens(shards: Facts | None) -> dict[str, int]:
    """Return the tokens in shards by source, training and validation together."""
    found: Counter[str] = Counter()
    for sources in shards.sources.values() if shards else ():
        found.update({source: totals.tokens for source, totals in sources.items()})
    return dict(found)


def _tokenizer(text: str) -> TokenizerReport | None:
    return TokenizerReport.model_validate_json(text) if text else None


def _token_ledger(shards: Facts) -> Iterator[TokenLedger]:
    for split, sources in shards.languages.items():
        for source, languages in sources.items():
            encoded = [(code, counts.encoded) for code, counts in languages.items()]
            yield TokenLedger(
                split=split,
                source=source,
                **shards.token_counts(split, source).model_dump(),
                positions=shards.sources[split][source].rows * (shards.sequence_length + 1),
                languages=sorted(encoded, key=lambda each: (-each[1], each[0])),
            )


def _loss(metrics: str) -> list[tuple[int, float]]:
    """Return the training loss by step, thinned evenly."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in metrics.splitlines()]
    points = [(int(line["step"]), float(line["train/loss"])) for line in lines if "train/loss" in line]
    return points[:: max(1, len(points) // MAX_POINTS)]


def _validation(text: str) -> dict[str, tuple[float, float]]:
    """Return bits per byte by source, of the model and of the unigram baseline."""
    if not text:
        return {}
    sources: dict[str, dict[str, float]] = json.loads(text)["sources"]
    return {
        source: (bits["bits_per_byte"], bits["unigram_bits_per_byte"]) for source, bits in sources.items()
    }
