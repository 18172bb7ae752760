"""Remove duplicates from a corpus of texts (Parquet, JSON lines), or decide again about a finished run.

``spark-submit jobs/dedup.py --set 'input.paths=["corpus"]' --set output.path=OUT [--set a.b=c …]``
"""

import sys
from collections.abc import Sequence

from core.config import from_command_line
from core.manifest import Manifest
from pipeline.reports import summary
from pipeline.spark.dedup.stage import dedup, validate
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print how many documents were kept and dropped."""
    if config := from_command_line("Remove duplicates from a corpus of texts.", arguments, validate):
        show(dedup(session(config, "dedup"), config))


def show(manifest: Manifest) -> None:
    """Print the summary, and on stderr the warnings."""
    for line in summary.describe(manifest):
        print(line)
    for warning in summary.warnings(manifest):
        print(f"warning: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_job(main)
