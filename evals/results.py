"""What an evaluation leaves behind, and how it is shown.

::

    OUT/
      results.json        model, data and settings with their hashes, and every metric
      items/SUITE.jsonl   one record per item
      results.html        the same for people, readable without a network
      manifest.json       stage "evals", written last
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from core import storage
from core.config import EvalsConfig
from core.errors import InputError
from core.manifest import Stage
from evals.context import Outcome
from evals.items import DataFile
from evals.suite import Named
from model.loading import LoadedModel

STAGE = "evals"
REMEDY = "choose another folder with --to, or replace it with --set output.overwrite=true"
NAME = "results.json"
SCHEMA_VERSION = 1
PACKAGES = ("torch", "sacrebleu", "rouge-score", "nltk", "tokenizers", "sentencepiece")
SHOWN = 5
"""Records of each suite on the page."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A suite, what it was measured on and what was found."""

    named: Named
    files: list[DataFile]
    chats: bool
    outcome: Outcome


def settings(evals: EvalsConfig, suites: Sequence[Named]) -> dict[str, Any]:
    """Everything that decides about the results but the model and the data."""
    own = {each.name: {"sha256": each.sha256, **each.suite.model_dump(mode="json")} for each in suites}
    return {"evals": evals.model_dump(mode="json"), "suites": own}


def document(loaded: LoadedModel, evals: EvalsConfig, measured: Sequence[Measured]) -> dict[str, Any]:
    """What ``results.json`` says."""
    return {
        "schema_version": SCHEMA_VERSION,
        "model": {
            "name": loaded.name,
            "sha256": loaded.sha256,
            "parameters": loaded.model.config.num_parameters,
            "tokenizer_sha256": loaded.tokenizer.sha256,
        },
        "settings": evals.model_dump(mode="json"),
        "packages": {"python": python_version(), **{name: version(name) for name in PACKAGES}},
        "suites": [
            {
                "name": each.named.name,
                "kind": each.named.suite.kind,
                "sha256": each.named.sha256,
                "chat_template": each.chats,
                "settings": each.named.suite.model_dump(mode="json"),
                "data": [asdict(file) for file in each.files],
                "items": {"path": _items_path(each), "sha256": sha256(_lines(each)).hexdigest()},
                "metrics": [asdict(metric) for metric in each.outcome.metrics],
            }
            for each in measured
        ],
    }


def write(stage: Stage, said: dict[str, Any], done: Sequence[Measured]) -> None:
    """Write all files of an evaluation, the manifest last."""
    contents = {_items_path(each): _lines(each) for each in done}
    contents[NAME] = json.dumps(said, indent=2, ensure_ascii=False).encode() + b"\n"
    contents["results.html"] = page(said, {each.named.name: each.outcome.records for each in done}).encode()
    files = [stage.write(path, data, rows=data.count(b"\n")) for path, data in contents.items()]
    stage.publish({each.named.name: len(each.outcome.records) for each in done}, files)


def read(path: str) -> dict[str, Any]:
    """A ``results.json`` (or the folder with it). Raises :class:`InputError` if it is none."""
    path = path if path.endswith(".json") else storage.join(path, NAME)
    try:
        said = json.loads(storage.read_bytes(path))
        if said["schema_version"] == SCHEMA_VERSION and said["model"] and said["suites"]:
            return dict(said)
    except (ValueError, TypeError, KeyError):
        pass
    raise InputError(
        f"{path}: not the results of an evaluation, version {SCHEMA_VERSION}; give what python -m evals wrote"
    )


def table(said: Mapping[str, Any]) -> str:
    """The metrics for people."""
    rows = [
        (
            suite["name"],
            metric["name"],
            f"{metric['value']:.4f}",
            "" if metric["standard_error"] is None else f"{metric['standard_error']:.4f}",
            f"{metric['low']:.4f} … {metric['high']:.4f}",
            str(metric["n"]),
        )
        for suite in said["suites"]
        for metric in suite["metrics"]
    ]
    head = ("suite", "metric", "value", "± s.e.", "95 %", "n")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, *rows)
    ]
    model = said["model"]
    return "\n".join([f"model {model['name']} ({model['sha256'][:12]}…)", *lines])


def page(said: Mapping[str, Any], records: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The page. Every text of an item or a model is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = {name: own[:SHOWN] for name, own in records.items()}
    settings = json.dumps({"settings": said["settings"], "packages": said["packages"]}, indent=2)
    return environment.get_template("results.html").render(said=said, shown=shown, settings=settings)


def _items_path(each: Measured) -> str:
    return f"items/{each.named.name}.jsonl"


def _lines(each: Measured) -> bytes:
    lines = [json.dumps(record, ensure_ascii=False) for record in each.outcome.records]
    return "".join(f"{line}\n" for line in lines).encode()
