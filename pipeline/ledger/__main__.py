"""Query the decisions of a finished run.

``python -m pipeline.ledger show ID|URL --set output.path=OUT`` prints the history of one record.
``python -m pipeline.ledger sample --reason gopher.few_words --set output.path=OUT`` prints dropped records.
"""

import argparse
from collections.abc import Sequence

from core import config as configuration
from core import storage
from core.errors import ConfigError, run
from pipeline.ledger.record_history import record_histories
from pipeline.ledger.samples import parse_reason, samples


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse(arguments)
    if options.command == "sample":
        options.reason = parse_reason(options.reason)
        if options.count < 1:
            raise ConfigError(f"--count {options.count}: must be at least 1; give the number of examples")
    config = configuration.from_options(options, configuration.required("output.path"))
    if config is None:
        return
    folder = storage.absolute(config.output.path)
    if options.command == "show":
        answer = record_histories(folder, options.key)
    else:
        answer = samples(folder, options.reason, options.count)
    for index, part in enumerate(answer):
        print(f"\n{part}" if index else part)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = configuration.ArgumentParser(
        prog="python -m pipeline.ledger",
        description="Show why records of a finished run were kept or dropped.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show|sample")
    shared = configuration.parser("")
    show, sample = (
        commands.add_parser(name, help=text, description=text, parents=[shared], conflict_handler="resolve")
        for name, text in (
            ("show", "print the history of one record"),
            ("sample", "print examples of the records that a reason dropped"),
        )
    )
    show.add_argument("key", metavar="ID|URL", help="a record's id or its URL, as in the ledger")
    sample.add_argument("--reason", required=True, help="a reason, as in the ledger: gopher.few_words")
    sample.add_argument("--count", type=int, default=10, help="maximum number of examples (10)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
