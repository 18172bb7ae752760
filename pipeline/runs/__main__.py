"""Show what the steps of a stage took and used, or compare two runs.

``python -m pipeline.runs show FOLDER`` prints the record of a stage (``OUT``, ``OUT/tokenizer``, …).
``python -m pipeline.runs compare A B`` prints two records of the same stage side by side.
"""

import argparse
from collections.abc import Sequence

from core import storage
from core.config import ArgumentParser
from core.errors import MismatchError, run
from pipeline.runs import record, table


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse(arguments)
    if options.command == "show":
        lines = table.describe(record.read(storage.absolute(options.folder)))
    else:
        names = (options.a, options.b)
        one, other = (record.read(storage.absolute(name)) for name in names)
        if one.stage != other.stage:
            raise MismatchError(
                f"{options.a} is a run of {one.stage}, {options.b} one of {other.stage}: they have different "
                "steps; name two runs of one stage"
            )
        lines = table.compare(one, other, names)
    for line in lines:
        print(line)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m pipeline.runs", description="Show or compare what the steps of runs took and used."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show|compare")
    text = "print the steps of a run: time, tasks, records, bytes, memory"
    show = commands.add_parser("show", help=text, description=text)
    show.add_argument("folder", metavar="FOLDER", help="folder of a stage: OUT, OUT/tokenizer or OUT/shards")
    text = "print two runs of a stage side by side, with ratios"
    compare = commands.add_parser("compare", help=text, description=text)
    compare.add_argument("a", metavar="A", help="folder of a stage")
    compare.add_argument("b", metavar="B", help="folder of the other run of it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
