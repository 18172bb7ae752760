"""Summary of a finished run in the terminal: what was kept, dropped and changed, and warnings."""

from collections import Counter
from collections.abc import Iterator, Mapping

from core.manifest import Manifest
from core.messages import counted
from pipeline.decontamination import report as decontamination
from pipeline.ledger.cuts import describe_cuts
from pipeline.readers.inputs import describe_skipped


def describe(manifest: Manifest) -> Iterator[str]:
    """Yield the number of records, of dropped ones by reason, and sentences about what was removed."""
    counts = manifest.counts
    yield (
        f"{manifest.stage}: {counts['records_in']:,} records in, {counts['kept']:,} kept, "
        f"{counts['dropped']:,} dropped, {counts['quarantined']:,} quarantined"
    )
    dropped = {key.removeprefix("dropped."): value for key, value in counts.items() if "." in key}
    for reason, number in sorted(dropped.items(), key=lambda item: -item[1]):
        yield f"  {number:>12,} {reason}"
    sentences = (
        *_describe_edits(manifest.facts.get("edits", {})),
        *describe_cuts(manifest),
        *decontamination.describe(manifest.facts.get("contamination", {})),
    )
    for sentence in sentences:
        yield f"{manifest.stage}: {sentence}"


def warnings(manifest: Manifest) -> Iterator[str]:
    """Yield sentences about inputs that were not read, and about settings without effect."""
    if manifest.skipped_inputs:
        skipped = describe_skipped(manifest.skipped_inputs)
        yield f"{skipped}; manifest.json lists them under skipped_inputs"
    sources = manifest.facts["by_source"]
    if unknown := [name for name in manifest.config["dedup"]["sources"] if name not in sources]:
        yield (
            f"dedup.sources: no record is of the source {', '.join(unknown)}; the sources are "
            f"{', '.join(sources)}"
        )
    yield from decontamination.warnings(manifest.facts.get("contamination", {}))


def _describe_edits(edits: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Yield a sentence about what filters removed from the kept texts, if they did."""
    total = Counter[str]()
    for of_source in edits.values():
        total.update(of_source)
    if total["edited"]:
        share = total["removed_characters"] / total["characters"]
        yield (
            f"{counted(total['removed_lines'], 'line')} and {share:.1%} of the characters were removed from "
            f"{total['edited']:,} of {total['documents']:,} kept texts"
        )
