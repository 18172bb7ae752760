"""``python -m serve.feedback export|list|delete --database FILE``: feedback on a model's answers."""

import argparse
from collections.abc import Sequence

from core.config import ArgumentParser
from core.errors import run
from serve.feedback.export import export
from serve.feedback.maintenance import delete, list_rows


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    parser = ArgumentParser(
        prog="python -m serve.feedback", description="Feedback on a model's answers: export, list, delete."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="export|list|delete")
    _add_export(commands)
    _command(commands, "list", "print the stored answers: id, time, ratings and start of the question")
    deletion = _command(commands, "delete", "delete answers and feedback for good")
    deletion.add_argument("ids", nargs="*", metavar="ID", help="id of a response or of feedback")
    deletion.add_argument(
        "--unrated", action="store_true", help="delete all answers without feedback instead"
    )
    options = parser.parse_args(arguments)
    if options.command == "export":
        print(export(options.database, options.to, mask=options.mask))
    elif options.command == "list":
        for line in list_rows(options.database):
            print(line)
    else:
        if bool(options.ids) == options.unrated:
            deletion.error("name the ids to delete, or --unrated")
        print(delete(options.database, options.ids))


def _command(
    commands: "argparse._SubParsersAction[ArgumentParser]", name: str, description: str
) -> ArgumentParser:
    """Add a command that reads a database."""
    command = commands.add_parser(name, help=description)
    command.add_argument(
        "--database", required=True, metavar="FILE", help="feedback database of a server (serve.feedback)"
    )
    return command


def _add_export(commands: "argparse._SubParsersAction[ArgumentParser]") -> None:
    command = _command(
        commands, "export", "write chat.jsonl, which train.finetune reads, and preferences.jsonl"
    )
    command.add_argument("--to", required=True, metavar="DIR", help="new folder for the export")
    command.add_argument(
        "--mask",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="replace e-mail addresses, telephone numbers and other personal data by tags (the default)",
    )


if __name__ == "__main__":
    run(main)
