"""Clean raw crawl files, dumps and books: write documents, ledger and quarantine.

``spark-submit jobs/clean.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

import sys
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from core.config import from_command_line
from core.errors import run
from core.manifest import Manifest
from pipeline.decontamination import report as decontamination
from pipeline.ledger import FunnelStep, warnings
from pipeline.ledger.cuts import describe_cuts
from pipeline.readers.inputs import describe_skipped
from pipeline.spark.clean import clean, validate
from pipeline.spark.session.builder import end_session, session


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print how many records were kept and dropped."""
    if config := from_command_line("Turn raw records into clean documents.", arguments, validate):
        show(clean(session(config, "clean"), config), config.filters.thresholds)


def show(manifest: Manifest, configured: Collection[str] = ()) -> None:
    """Print the counts by reason, and on stderr the warnings, first about ``configured`` conditions."""
    counts = manifest.counts
    dropped = {key.removeprefix("dropped."): value for key, value in counts.items() if "." in key}
    print(
        f"clean: {counts['records_in']:,} records in, {counts['kept']:,} kept, "
        f"{counts['dropped']:,} dropped, {counts['quarantined']:,} quarantined"
    )
    for reason, number in sorted(dropped.items(), key=lambda item: -item[1]):
        print(f"  {number:>12,} {reason}")
    if edits := describe_edits(manifest.facts.get("edits", {})):
        print(f"clean: {edits}")
    for line in describe_cuts(manifest):
        print(f"clean: {line}")
    contamination = manifest.facts.get("contamination", {})
    for line in decontamination.describe(contamination):
        print(f"clean: {line}")
    if manifest.skipped_inputs:
        skipped = describe_skipped(manifest.skipped_inputs)
        print(f"warning: {skipped}; manifest.json lists them under skipped_inputs", file=sys.stderr)
    steps = [FunnelStep.model_validate(step) for step in manifest.facts["funnel"]]
    for warning in (*warnings(steps, configured), *decontamination.warnings(contamination)):
        print(f"warning: {warning}", file=sys.stderr)


def describe_edits(edits: Mapping[str, Mapping[str, int]]) -> str:
    """Return a sentence about what was removed from the kept texts; empty if nothing was."""
    total = Counter[str]()
    for of_source in edits.values():
        total.update(of_source)
    if not total["edited"]:
        return ""
    share = total["removed_characters"] / total["characters"]
    return (
        f"{total['removed_lines']:,} lines and {share:.1%} of the characters were removed from "
        f"{total['edited']:,} of {total['documents']:,} kept texts"
    )


if __name__ == "__main__":
    run(main, end_session)
