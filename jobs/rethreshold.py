"""A finished run decided anew under other filters, without reading its text: two funnels side by side.

``python jobs/rethreshold.py --config configs/demo.toml --set filters.preset=gopher [--set a.b=c …]``
"""

from collections.abc import Sequence
from functools import partial
from time import monotonic

from core.config import from_command_line
from core.errors import run
from pipeline.ledger.comparison import side_by_side
from pipeline.spark.rethreshold import rethreshold
from pipeline.spark.session.builder import session


def main(arguments: Sequence[str]) -> None:
    """Decide anew and print what would change."""
    if not (config := from_command_line("What other filters would make of a finished run.", arguments)):
        return
    begun = monotonic()
    found = rethreshold(partial(session, config, "rethreshold"), config)
    seconds = monotonic() - begun
    for line in side_by_side(found.changes, f"run ({found.preset})", config.filters.preset):
        print(line)
    for setting, measures in found.differing.items():
        print(f"not certain: {setting} differs from the run's, so that these would be others: {measures}")
    print(f"rethreshold: {sum(change.records for change in found.changes):,} records in {seconds:.1f} s")


if __name__ == "__main__":
    run(main)
