"""Write the report of a run: one offline page, ``report.html``.

``spark-submit jobs/report.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.stage import check_output
from pipeline.spark.report import report
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job


def main(arguments: Sequence[str]) -> None:
    """Write the page and print its path."""
    if config := from_command_line("Write the report of a run.", arguments, check_output):
        print(f"report: {report(session(config, 'report'), config)}")


if __name__ == "__main__":
    run_job(main)
