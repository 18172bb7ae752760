"""``python -m evals --model DIR --suite NAME… [--data NAME=PATH…] --to OUT``: evaluate a model on suites."""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from core import config as configuration
from core import errors
from core.config import Config
from core.errors import ConfigError
from core.manifest import fingerprint
from core.stage import Stage
from evals import results, tasks
from evals.context import EvalContext, Progress
from evals.items import DataFile, Item, read_items
from evals.results import SuiteResult
from evals.suite import NamedSuite, load_suite
from model import loading
from model.loading import ModelSource

REPORT_INTERVAL = 10.0
"""Seconds between progress lines."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Suites, each suite's items and files, and the model, which is not loaded yet."""

    suites: list[NamedSuite]
    data: list[tuple[list[Item], list[DataFile]]]
    model: ModelSource

    def hashes(self) -> list[str]:
        """Return the hash of the model and of each data file."""
        return [self.model.sha256, *(file.sha256 for _, files in self.data for file in files)]


def main(arguments: Sequence[str]) -> None:
    """Run the command line. ``--dry-run`` reads and checks the inputs, too."""
    options = _parse(arguments)
    inputs = _read_inputs(options)
    if config := configuration.from_options(options):
        evaluate(config, inputs, options.to)


def evaluate(config: Config, inputs: Inputs, output: str) -> None:
    """Evaluate the model, publish the results in ``output`` and print them as a table.

    Results that exist already are only printed. Invalid items, prompts or output folders are rejected before
    anything is computed or written.
    """
    settings = results.settings(config.evals, inputs.suites)
    hashes = inputs.hashes()
    stage = Stage(
        results.STAGE,
        output,
        fingerprint(results.STAGE, settings, hashes),
        settings,
        hashes,
        overwrite=config.output.overwrite,
        remedy=results.REMEDY,
        done_message=f"{output}: already evaluated with these settings",
    )
    with stage.lock() as done:
        summary = results.read(output) if done else _evaluate(stage, config, inputs)
    print(results.table(summary))


def _evaluate(stage: Stage, config: Config, inputs: Inputs) -> dict[str, Any]:
    """Evaluate the model and publish the results in the folder of the stage; return the summary."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    context = EvalContext(inputs.model.load(device, getattr(torch, config.evals.precision)), config.evals)
    prepared = [
        tasks.prepare(named, items, context)
        for named, (items, _) in zip(inputs.suites, inputs.data, strict=True)
    ]
    stage.begin()
    suite_results = [
        SuiteResult(named, files, context.uses_chat_template(named.suite), run(_progress(named.name)))
        for named, (_, files), run in zip(inputs.suites, inputs.data, prepared, strict=True)
    ]
    summary = results.summarize(context.loaded, config.evals, suite_results)
    results.write(stage, summary, suite_results)
    return summary


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Evaluate a model on suites.")
    parser.add_argument(
        "--model",
        required=True,
        metavar="DIR",
        help="a run folder, Hugging Face folder, adapter folder or .gguf file",
    )
    parser.add_argument(
        "--suite",
        required=True,
        nargs="+",
        metavar="NAME",
        help="names of shipped suites, or paths of .toml files",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=[],
        action="extend",
        metavar="NAME=PATH",
        help="data of a suite (SUITE=PATH) or of one of its files (SUITE.PART=PATH)",
    )
    parser.add_argument("--to", required=True, metavar="OUT", help="output folder for the results")
    return parser.parse_args(arguments)


def _read_inputs(options: Namespace) -> Inputs:
    """Read suites and data and find the model, cheapest first."""
    suites = [load_suite(name) for name in options.suite]
    _reject_duplicates([named.name for named in suites])
    paths = _data_paths(options.data, suites)
    return Inputs(suites, [read_items(named, paths) for named in suites], loading.find(options.model))


def _data_paths(assignments: Sequence[str], suites: Sequence[NamedSuite]) -> dict[str, str]:
    """Parse ``--data`` into paths by name. Raises :class:`ConfigError` for a name that no suite has."""
    valid = [named.data_name(file) for named in suites for file in named.suite.files]
    paths: dict[str, str] = {}
    for assignment in assignments:
        name, _, path = assignment.partition("=")
        if name not in valid or not path:
            raise ConfigError(f"--data {assignment}: must be NAME=PATH with a NAME of {', '.join(valid)}")
        paths[name] = path
    return paths


def _reject_duplicates(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--suite {name}: given twice; name each suite once")


def _progress(name: str) -> Progress:
    """Return a function that prints progress to standard error, at most every ``REPORT_INTERVAL``."""
    started = reported = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal reported
        now = time.monotonic()
        if done == total or now - reported >= REPORT_INTERVAL:
            reported = now
            print(f"{name}: {done:,} of {total:,}, {now - started:.0f} s", file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    errors.run(main)
