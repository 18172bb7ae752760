"""``python -m evals.card [--run OUT] [--model DIR] [--results results.json…] --to DIR``: model and data card.

Cards are written from manifests and result files only. What has no artefact is told as not measured.
"""

import hashlib
from argparse import Namespace
from collections.abc import Sequence

from core import config as configuration
from core import errors, storage
from core.errors import ConfigError, InputError
from core.manifest import Stage, fingerprint
from evals import card_content, card_text
from evals.results import REMEDY

STAGE = "card"


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    options = _parse(arguments)
    config = configuration.from_options(options)
    if config is None:
        return
    if not options.run and not options.model:
        raise ConfigError("neither --run nor --model: a card must be of something; name a run or a model")
    cards = _render(options)
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in cards.values()]
    stage = Stage(
        STAGE,
        options.to,
        fingerprint(STAGE, {}, hashes),
        overwrite=config.output.overwrite,
        remedy=REMEDY,
        done_message=f"{options.to}: the cards are up to date",
    )
    if stage.begin():
        return
    stage.publish({}, [stage.write(name, text.encode(), text.count("\n")) for name, text in cards.items()])
    for name in cards:
        print(storage.join(options.to, name))


def _render(options: Namespace) -> dict[str, str]:
    """The cards by file name: the corpus's if the run has one, the model's if there is one."""
    cards: dict[str, str] = {}
    subject = card_content.subject(options.run, options.model)
    if card_content.has_corpus(options.run):
        cards["data-card.md"] = card_text.render("data-card.md", card_content.data(options.run))
    if subject:
        content = card_content.model(options.run, subject, options.results)
        cards["model-card.md"] = card_text.render("model-card.md", content)
    elif options.results or not cards:
        raise InputError(
            f"{options.run}: no finished model in it; train one first, or name another folder with --model"
        )
    return cards


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Write the model card and the data card of a run or a model.")
    parser.add_argument("--run", default="", metavar="OUT", help="the folder of a run")
    parser.add_argument("--model", default="", metavar="DIR", help="an exported or imported model")
    parser.add_argument(
        "--results", nargs="+", default=[], action="extend", metavar="results.json", help="of python -m evals"
    )
    parser.add_argument("--to", required=True, metavar="DIR", help="the folder for the cards")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    errors.run(main)
