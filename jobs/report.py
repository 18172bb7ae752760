"""The tables of a run to one offline page, ``report.html``.

``spark-submit jobs/report.py --config configs/demo.toml [--set a.b=c …] [--dry-run]``
"""

from collections.abc import Sequence

from core.config import from_command_line
from core.errors import run
from pipeline.spark.report import report
from pipeline.spark.session.builder import session


def main(arguments: Sequence[str]) -> None:
    """Write the page and print where it is."""
    if config := from_command_line("The report of a run.", arguments):
        print(f"report: {report(session(config, 'report'), config)}")


if __name__ == "__main__":
    run(main)
