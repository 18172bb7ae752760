"""``python -m serve.feedback export --database FILE --to DIR``: feedback as training data."""

import argparse
from collections.abc import Sequence

from core.config import ArgumentParser
from core.errors import run
from serve.feedback.export import export


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = ArgumentParser(
        prog="python -m serve.feedback",
        description="Export feedback on a model's answers as training data.",
    )
    command = parser.add_subparsers(required=True, metavar="export").add_parser(
        "export", help="write chat.jsonl, which train.finetune reads, and preferences.jsonl"
    )
    command.add_argument(
        "--database", required=True, metavar="FILE", help="feedback database of a server (serve.feedback)"
    )
    command.add_argument("--to", required=True, metavar="DIR", help="new folder for the export")
    command.add_argument(
        "--mask",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace e-mail addresses, telephone numbers and other personal data by tags (the default)",
    )
    options = parser.parse_args(arguments)
    print(export(options.database, options.to, mask=options.mask))


if __name__ == "__main__":
    run(main)
