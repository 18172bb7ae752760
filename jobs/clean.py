"""Clean raw crawl files, dumps and books: write documents, ledger and quarantine.

``spark-submit jobs/clean.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

import sys
from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from core.manifest import Manifest
from pipeline.ledger import FunnelStep
from pipeline.spark.clean import clean, validate
from pipeline.spark.session.builder import end_session, session


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print how many records were kept and dropped."""
    if config := from_command_line("Turn raw records into clean documents.", arguments, validate):
        show(clean(session(config, "clean"), config))


def show(manifest: Manifest) -> None:
    """Print the counts by reason, and on stderr the warnings."""
    counts = manifest.counts
    dropped = {key.removeprefix("dropped."): value for key, value in counts.items() if "." in key}
    print(
        f"clean: {counts['records_in']:,} records in, {counts['kept']:,} kept, "
        f"{counts['dropped']:,} dropped, {counts['quarantined']:,} quarantined"
    )
    for reason, number in sorted(dropped.items(), key=lambda item: -item[1]):
        print(f"  {number:>12,} {reason}")
    for step in manifest.facts["funnel"]:
        if warning := FunnelStep.model_validate(step).warning:
            print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run(main, end_session)
