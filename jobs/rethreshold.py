"""Apply other filters to a finished run without reading its text, and compare the two funnels.

``spark-submit jobs/rethreshold.py --config configs/demo.toml --set filters.preset=gopher [--set a.b=c …]``

A small run needs no Spark: ``python jobs/rethreshold.py …`` starts in a second.
"""

from collections.abc import Sequence
from functools import partial
from time import monotonic

from core.config import from_command_line
from pipeline.ledger.comparison import side_by_side
from pipeline.spark.rethreshold import rethreshold, validate
from pipeline.spark.session.builder import session
from pipeline.spark.session.failures import run_job


def main(arguments: Sequence[str]) -> None:
    """Run the plan and print both funnels, and which results are not certain."""
    if not (config := from_command_line("Apply other filters to a finished run.", arguments, validate)):
        return
    begun = monotonic()
    found = rethreshold(partial(session, config, "rethreshold"), config)
    seconds = monotonic() - begun
    for line in side_by_side(found.changes, f"run ({found.preset})", config.filters.preset):
        print(line)
    for setting, metrics in found.differing.items():
        print(f"not certain: {setting} differs from the run's, which changes these metrics: {metrics}")
    for setting, results in found.not_applied.items():
        print(f"not certain: {setting} is not applied here, on which these results depend: {results}")
    if found.editing:
        print(
            f"texts are as the run edited them: {', '.join(found.editing)} would edit them differently; "
            "run clean for other texts"
        )
    print(f"rethreshold: {sum(change.records for change in found.changes):,} records in {seconds:.1f} s")


if __name__ == "__main__":
    run_job(main)
