"""``python -m evals --model DIR --suite NAME… [--data NAME=PATH…] --to OUT``: measure a model."""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence

import torch

from core import config as configuration
from core import errors
from core.config import Config
from core.errors import ConfigError
from core.manifest import Stage, fingerprint
from evals import results, tasks
from evals.context import Bench, Progress
from evals.items import read
from evals.results import Measured
from evals.suite import Named, find
from model import loading

REPORT_EVERY = 10.0
"""Seconds between lines of progress."""


def main(arguments: Sequence[str]) -> None:
    """The command line."""
    options = _parse(arguments)
    config = configuration.from_options(options)
    if config is None:
        return
    suites = [find(name) for name in options.suite]
    _each_once([each.name for each in suites])
    evaluate(config, options.model, suites, _paths(options.data, suites), options.to)


def evaluate(config: Config, model: str, suites: Sequence[Named], paths: dict[str, str], to: str) -> None:
    """Measure and publish, or say that it is done already; the table goes to standard output.

    Whatever is wrong with suites, data, prompts, model or output folder is found before anything is computed
    or written.
    """
    data = [read(each, paths) for each in suites]
    source = loading.find(model)
    settings = results.settings(config.evals, suites)
    inputs = [source.sha256, *(file.sha256 for _, files in data for file in files)]
    stage = Stage(
        results.STAGE,
        to,
        fingerprint(results.STAGE, settings, inputs),
        settings,
        inputs,
        overwrite=config.output.overwrite,
        remedy=results.REMEDY,
        done_message=f"{to}: already measured with these very settings",
    )
    if stage.finished():
        print(results.table(results.read(to)))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bench = Bench(source.load(device, getattr(torch, config.evals.precision)), config.evals)
    works = [tasks.prepare(each, items, bench) for each, (items, _) in zip(suites, data, strict=True)]
    stage.begin()
    done: list[Measured] = []
    for each, (_, files), work in zip(suites, data, works, strict=True):
        outcome = work(_progress(each.name))
        done.append(Measured(each, files, bench.chats(each.suite), outcome))
    said = results.document(bench.loaded, config.evals, done)
    results.write(stage, said, done)
    print(results.table(said))


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Measure a model by suites.")
    parser.add_argument("--model", required=True, metavar="DIR", help="a run, a Hugging Face folder, a .gguf")
    parser.add_argument(
        "--suite", required=True, nargs="+", metavar="NAME", help="suites by name, or .toml files"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        action="extend",
        metavar="NAME=PATH",
        help="a suite's data",
    )
    parser.add_argument("--to", required=True, metavar="OUT", help="the folder for the results")
    return parser.parse_args(arguments)


def _paths(given: Sequence[str], suites: Sequence[Named]) -> dict[str, str]:
    """``--data`` by name. Raises :class:`ConfigError` for a name that no suite has."""
    known = [each.data_name(file) for each in suites for file in each.suite.files]
    paths: dict[str, str] = {}
    for text in given:
        name, _, path = text.partition("=")
        if name not in known or not path:
            raise ConfigError(f"--data {text}: must read NAME=PATH with a NAME of {', '.join(known)}")
        paths[name] = path
    return paths


def _each_once(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--suite {name}: named twice; name each suite once")


def _progress(name: str) -> Progress:
    """Lines on standard error, seldom enough to read."""
    begun = told = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if done == total or now - told >= REPORT_EVERY:
            told = now
            print(f"{name}: {done:,} of {total:,}, {now - begun:.0f} s", file=sys.stderr, flush=True)

    return tell


if __name__ == "__main__":
    errors.run(main)
