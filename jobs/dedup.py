"""Remove duplicates from a corpus of texts (Parquet, JSON lines), or decide again about a finished run.

``spark-submit jobs/dedup.py --set 'input.paths=["corpus"]' --set output.path=OUT [--set a.b=c …]``
"""

import sys
from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from core.manifest import Manifest
from pipeline.decontamination import report as decontamination
from pipeline.ledger.cuts import describe_cuts
from pipeline.readers.inputs import describe_skipped
from pipeline.spark.dedup.stage import dedup, validate
from pipeline.spark.session.builder import end_session, session


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print how many documents were kept and dropped."""
    if config := from_command_line("Remove duplicates from a corpus of texts.", arguments, validate):
        show(dedup(session(config, "dedup"), config))


def show(manifest: Manifest) -> None:
    """Print the counts by reason, and on stderr what was not read."""
    counts = manifest.counts
    print(
        f"dedup: {counts['records_in']:,} records in, {counts['kept']:,} kept, "
        f"{counts['dropped']:,} dropped, {counts['quarantined']:,} quarantined"
    )
    dropped = {key.removeprefix("dropped."): value for key, value in counts.items() if "." in key}
    for reason, number in sorted(dropped.items(), key=lambda item: -item[1]):
        print(f"  {number:>12,} {reason}")
    for line in describe_cuts(manifest):
        print(f"dedup: {line}")
    contamination = manifest.facts.get("contamination", {})
    for line in decontamination.describe(contamination):
        print(f"dedup: {line}")
    for warning in decontamination.warnings(contamination):
        print(f"warning: {warning}", file=sys.stderr)
    if manifest.skipped_inputs:
        skipped = describe_skipped(manifest.skipped_inputs)
        print(f"warning: {skipped}; manifest.json lists them under skipped_inputs", file=sys.stderr)


if __name__ == "__main__":
    run(main, end_session)
