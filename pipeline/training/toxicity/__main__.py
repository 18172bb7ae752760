"""Commands that produce the shipped toxicity model.

::

    python -m pipeline.training.toxicity weights DATA
    python -m pipeline.training.toxicity context DATA
    python -m pipeline.training.toxicity sets DATA SETS
    python jobs/train_classifier.py --config configs/toxicity.toml \\
        --set classifier.folder=SETS --set output.path=OUT
    cp OUT/classifier/model.ftz pipeline/filters/toxicity/models/toxicity.ftz
    python -m pipeline.training.toxicity calibrate DATA SETS --config configs/toxicity.toml

``weights`` writes the word weights, ``context`` the context weights, ``sets`` the training sets, and
``calibrate`` the calibration of the shipped model, for which it trains four more. DATA has the folders
toxicity, langid, books, wiki and warc; the model's card describes their content.
"""

import argparse
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from core.config import ArgumentParser, load
from core.errors import InputError, run
from pipeline.filters.toxicity.calibration import FILE
from pipeline.training.toxicity.calibration import fit_calibration, held_out_sets, left_out_sets
from pipeline.training.toxicity.context import prose, write_context
from pipeline.training.toxicity.sets import write_sets
from pipeline.training.toxicity.sources import labelled_sets
from pipeline.training.toxicity.weights import write_weights

SHIPPED = Path(str(resources.files("pipeline.filters.toxicity")))
FOLDERS = ("toxicity", "langid", "books", "wiki", "warc")


def main(arguments: Sequence[str]) -> None:
    """Run one command."""
    options = _parse(arguments)
    for name in FOLDERS:
        if not (options.data / name).is_dir():
            raise InputError(
                f"{options.data}: has no folder {name}; DATA must have the folders {', '.join(FOLDERS)}"
            )
    if options.command == "weights":
        write_weights(options.data, options.to)
    elif options.command == "context":
        write_context(options.data, labelled_sets(options.data / "toxicity"), options.to)
    elif options.command == "sets":
        options.sets.mkdir(parents=True, exist_ok=True)
        write_sets(options.data, options.sets)
    else:
        config = load(options.config, [f"classifier.folder={options.sets}"])
        sets = labelled_sets(options.data / "toxicity")
        left_out = left_out_sets(sets, config, prose(options.data))
        fitted = fit_calibration([*held_out_sets(sets), *left_out])
        options.to.write_text(fitted.to_json(), encoding="utf-8")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m pipeline.training.toxicity",
        description="Produce the parts of the shipped toxicity model.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="weights|context|sets|calibrate")
    weights, context, sets, calibrate = (
        commands.add_parser(name, help=text, description=text)
        for name, text in (
            ("weights", "write the word weights"),
            ("context", "write the context weights"),
            ("sets", "write the training sets"),
            ("calibrate", "write the calibration of the shipped model"),
        )
    )
    for command in (weights, context, sets, calibrate):
        command.add_argument("data", type=Path, metavar="DATA", help=f"folder with {', '.join(FOLDERS)}")
    sets.add_argument("sets", type=Path, metavar="SETS", help="folder to write the training sets to")
    calibrate.add_argument("sets", type=Path, metavar="SETS", help="folder with the training sets")
    calibrate.add_argument(
        "--config", metavar="FILE.toml", required=True, help="configuration that the model was trained with"
    )
    for command, file in (
        (weights, "data/word_weights.txt"),
        (context, "data/context_weights.txt"),
        (calibrate, FILE),
    ):
        command.add_argument(
            "--to", type=Path, metavar="FILE", default=SHIPPED / file, help="file to write (the shipped one)"
        )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run(main)
