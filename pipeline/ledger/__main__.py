"""Questions about the decisions of a finished run.

``python -m pipeline.ledger show ID|URL --set output.path=OUT`` tells one record's whole story,
``python -m pipeline.ledger sample --reason gopher.few_words --set output.path=OUT`` what a reason dropped.
"""

import argparse
from collections.abc import Sequence

from core import config as configuration
from core import storage
from core.config import require
from core.errors import ConfigError, run
from pipeline.ledger.samples import reason_named, samples
from pipeline.ledger.story import stories


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    options = _parse(arguments)
    config = configuration.from_options(options)
    if config is None:
        return
    require(config, "output.path")
    folder = storage.absolute(config.output.path)
    if options.command == "show":
        answer = stories(folder, options.key)
    else:
        if options.count < 1:
            raise ConfigError(f"--count {options.count}: must be at least 1; say how many examples to show")
        answer = samples(folder, reason_named(options.reason), options.count)
    for index, part in enumerate(answer):
        print(f"\n{part}" if index else part)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.ledger",
        description="Why the records of a finished run were kept or dropped.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="show|sample")
    shared = configuration.parser("")
    show, sample = (
        commands.add_parser(name, help=text, description=text, parents=[shared], conflict_handler="resolve")
        for name, text in (
            ("show", "tell one record's whole story"),
            ("sample", "show examples of what a reason dropped"),
        )
    )
    show.add_argument("key", metavar="ID|URL", help="a record's id, or its address as the ledger has it")
    sample.add_argument("--reason", required=True, help="a reason as the ledger has it: gopher.few_words")
    sample.add_argument("--count", type=int, default=10, help="how many at most (10)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
