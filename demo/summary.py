"""The closing table of the demonstration, read from the stages' output."""

import json
from pathlib import Path
from typing import Any

from core import manifest, storage
from core.errors import ManifestError
from core.manifest import Manifest

REASONS = 12
"""Reasons with a line each; the others are summed up in one line."""

Rows = list[tuple[str, str]]


def check_balance(corpus: Manifest) -> None:
    """Raise :class:`ManifestError` unless records in = kept + Σ dropped by reason + quarantined."""
    counts = corpus.counts
    out = counts["kept"] + sum(dropped(corpus).values()) + counts["quarantined"]
    if out != counts["records_in"]:
        raise ManifestError(
            f"{counts['records_in']:,} records went in but {out:,} are accounted for; every record must be "
            f"kept, dropped by a reason or quarantined: run {corpus.stage} again into an empty folder"
        )


def dropped(corpus: Manifest) -> dict[str, int]:
    """Return the number of dropped records by reason, most frequent first."""
    counted = corpus.counts.items()
    reasons = {key.removeprefix("dropped."): n for key, n in counted if key.startswith("dropped.")}
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def table(run: Path) -> str:
    """Return the closing table of a run. Raises :class:`ManifestError` if a stage is missing."""
    corpus = manifest.read(str(run), *manifest.CORPUS_STAGES)
    check_balance(corpus)
    rows = _corpus(corpus) + _shards(run) + _model(run)
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}".rstrip() for name, value in rows)


def _corpus(corpus: Manifest) -> Rows:
    counts, reasons = corpus.counts, list(dropped(corpus).items())
    rest = sum(number for _, number in reasons[REASONS:])
    rows = [
        ("records in", f"{counts['records_in']:>11,}"),
        ("kept", f"{counts['kept']:>11,}"),
        ("dropped", f"{sum(number for _, number in reasons):>11,}"),
        *((f"  {reason}", f"{number:>11,}") for reason, number in reasons[:REASONS]),
    ]
    if rest:
        rows.append((f"  {len(reasons) - REASONS} more reasons", f"{rest:>11,}"))
    return [
        *rows,
        ("quarantined", f"{counts['quarantined']:>11,}"),
        ("", "in = kept + dropped + quarantined: holds"),
        ("duplicate clusters", f"{counts['duplicate_clusters']:>11,}"),
    ]


def _shards(run: Path) -> Rows:
    shards = manifest.read(str(run / "shards"), "pack")
    return [
        ("tokens", f"{shards.counts['tokens']:>11,}"),
        ("shards", f"{len(shards.files):>11,}"),
    ]


def _model(run: Path) -> Rows:
    training = manifest.read(str(run / "training"), "train")
    validation: dict[str, Any] = json.loads(storage.read_bytes(str(run / "training" / "validation.json")))
    everything = validation["sources"]["all"]
    return [
        ("parameters", f"{training.counts['parameters']:>11,}"),
        ("training steps", f"{training.counts['steps']:>11,}"),
        ("validation bits per byte", f"{everything['bits_per_byte']:>11.3f}"),
        ("  of a unigram model", f"{everything['unigram_bits_per_byte']:>11.3f}"),
    ]
