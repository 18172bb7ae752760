"""``python -m evals.card [--run OUT] [--model DIR] [--results results.json…] --to DIR``: write cards."""

import hashlib
from argparse import Namespace
from collections.abc import Sequence

from core import config as configuration
from core import errors, storage
from core.errors import ConfigError, InputError
from core.manifest import fingerprint
from core.stage import Stage
from evals.card import content
from evals.card.rendering import render
from evals.results import REMEDY

STAGE = "card"


def main(arguments: Sequence[str]) -> None:
    """Run the command line. ``--dry-run`` reads and checks everything that the cards are made from, too."""
    options = _parse(arguments)
    if not options.run and not options.model:
        raise ConfigError("neither --run nor --model: a card describes a run or a model; name one of them")
    cards = _render_cards(options)
    config = configuration.from_options(options)
    if config is None:
        return
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in cards.values()]
    stage = Stage(
        STAGE,
        options.to,
        fingerprint(STAGE, {}, hashes),
        overwrite=config.output.overwrite,
        remedy=REMEDY,
        done_message=f"{options.to}: the cards are up to date",
    )
    with stage.claim() as done:
        if done:
            return
        files = [stage.write(name, text.encode(), text.count("\n")) for name, text in cards.items()]
        stage.publish({}, files)
    for name in cards:
        print(storage.join(options.to, name))


def _render_cards(options: Namespace) -> dict[str, str]:
    """Return cards by file name: a data card if the run has a corpus, a model card if there is a model."""
    cards: dict[str, str] = {}
    model = content.find_model(options.run, options.model)
    if content.has_corpus(options.run):
        cards["data-card.md"] = render("data-card.md", content.data_card(options.run))
    if model:
        model_content = content.model_card(options.run, model, options.results)
        cards["model-card.md"] = render("model-card.md", model_content)
    elif options.results or not cards:
        raise InputError(
            f"{options.run}: contains no finished model; train one first, or name another folder with --model"
        )
    return cards


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Write the model card and the data card of a run or a model.")
    parser.add_argument("--run", default="", metavar="OUT", help="output folder of a run")
    parser.add_argument("--model", default="", metavar="DIR", help="folder of an exported or imported model")
    parser.add_argument(
        "--results",
        nargs="+",
        default=[],
        action="extend",
        metavar="results.json",
        help="results of python -m evals",
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="output folder for the cards")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    errors.run(main)
