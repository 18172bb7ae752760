"""Raw crawl files, dumps and books to documents, ledger and quarantine.

``spark-submit jobs/clean.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

import sys
from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from pipeline.ledger import FunnelStep
from pipeline.spark.clean import clean
from pipeline.spark.session.builder import session


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print what became of the records."""
    if not (config := from_command_line("Raw records to clean documents.", arguments)):
        return
    made = clean(session(config, "clean"), config)
    counts = made.counts
    dropped = {key.removeprefix("dropped."): value for key, value in counts.items() if "." in key}
    print(
        f"clean: {counts['records_in']:,} records in, {counts['kept']:,} kept, "
        f"{counts['dropped']:,} dropped, {counts['quarantined']:,} quarantined"
    )
    for reason, number in sorted(dropped.items(), key=lambda item: -item[1]):
        print(f"  {number:>12,} {reason}")
    for step in made.facts["funnel"]:
        if warning := FunnelStep.model_validate(step).warning:
            print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
