"""Clean raw crawl files, dumps and books: write documents, ledger and quarantine.

``spark-submit jobs/clean.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

import sys
from collections.abc import Collection, Sequence

from core.config import from_command_line
from core.manifest import Manifest
from pipeline.ledger import FunnelStep, warnings
from pipeline.reports import summary
from pipeline.spark.clean import clean, validate
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print how many records were kept and dropped."""
    if config := from_command_line("Turn raw records into clean documents.", arguments, validate):
        show(clean(session(config, "clean"), config), config.filters.thresholds)


def show(manifest: Manifest, configured: Collection[str] = ()) -> None:
    """Print the summary, and on stderr the warnings, also about ``configured`` conditions."""
    for line in summary.describe(manifest):
        print(line)
    steps = [FunnelStep.model_validate(step) for step in manifest.facts["funnel"]]
    for warning in (*summary.warnings(manifest), *warnings(steps, configured)):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_job(main)
