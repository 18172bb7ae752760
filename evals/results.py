"""Write, read and display the results of an evaluation.

::

    OUT/
      results.json        every metric, with model, data and settings and their hashes
      items/SUITE.jsonl   one record per sample
      results.html        the results as a page that needs no network
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

from core import html, storage
from core.config import EvalsConfig
from core.errors import InputError
from core.stage import Stage
from evals.context import TaskResult
from evals.items import DataFile
from evals.suite import NamedSuite
from model.loading import LoadedModel

STAGE = "evals"
REMEDY = "choose another folder with --to, or replace it with --set output.overwrite=true"
RESULTS_FILE = "results.json"
SCHEMA_VERSION = 1
PACKAGES = ("torch", "sacrebleu", "rouge-score", "nltk", "tokenizers", "sentencepiece")
"""Packages whose versions are recorded."""
MAX_PAGE_RECORDS = 5
"""Records of each suite on the page."""


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """Result of a suite, with the data files that were read."""

    named: NamedSuite
    files: list[DataFile]
    chat_template: bool
    """True if prompts were put into the model's chat template."""
    result: TaskResult

    @property
    def records_path(self) -> str:
        """Path of the records, relative to the output folder."""
        return f"items/{self.named.name}.jsonl"

    def records_jsonl(self) -> bytes:
        """Encode the records as JSON lines."""
        lines = [json.dumps(record, ensure_ascii=False) for record in self.result.records]
        return "".join(f"{line}\n" for line in lines).encode()


def settings(evals: EvalsConfig, suites: Sequence[NamedSuite]) -> dict[str, Any]:
    """Return the settings that the results depend on, for the fingerprint."""
    by_name = {each.name: {"sha256": each.sha256, **each.suite.model_dump(mode="json")} for each in suites}
    return {"evals": evals.model_dump(mode="json"), "suites": by_name}


def summarize(
    loaded: LoadedModel, evals: EvalsConfig, suite_results: Sequence[SuiteResult]
) -> dict[str, Any]:
    """Return the content of ``results.json``."""
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
        "suites": [_summarize_suite(each) for each in suite_results],
    }


def write(stage: Stage, summary: dict[str, Any], suite_results: Sequence[SuiteResult]) -> None:
    """Write all files of an evaluation, the manifest last."""
    contents = {each.records_path: each.records_jsonl() for each in suite_results}
    contents[RESULTS_FILE] = json.dumps(summary, indent=2, ensure_ascii=False).encode() + b"\n"
    records = {each.named.name: each.result.records for each in suite_results}
    contents["results.html"] = html_page(summary, records).encode()
    files = [stage.write(path, data, rows=data.count(b"\n")) for path, data in contents.items()]
    stage.publish({name: len(of_suite) for name, of_suite in records.items()}, files)


def read(path: str) -> dict[str, Any]:
    """Read ``results.json``, given its path or its folder. Raises :class:`InputError` for another file."""
    path = results_path(path)
    try:
        summary = json.loads(storage.read_bytes(path))
        if summary["schema_version"] == SCHEMA_VERSION and summary["model"] and summary["suites"]:
            return dict(summary)
    except (ValueError, TypeError, KeyError):
        pass
    raise InputError(
        f"{path}: not evaluation results of version {SCHEMA_VERSION}; give the output of python -m evals"
    )


def results_path(path: str) -> str:
    """Return the path of ``results.json``, given itself or its folder."""
    return path if path.endswith(".json") else storage.join(path, RESULTS_FILE)


def table(summary: Mapping[str, Any]) -> str:
    """Format the metrics as a table for the terminal."""
    rows = [
        (
            suite["name"],
            metric["name"],
            f"{metric['value']:.4f}",
            "" if metric["standard_error"] is None else f"{metric['standard_error']:.4f}",
            f"{metric['low']:.4f} … {metric['high']:.4f}",
            str(metric["n"]),
        )
        for suite in summary["suites"]
        for metric in suite["metrics"]
    ]
    header = ("suite", "metric", "value", "± s.e.", "95 %", "n")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if column < 2 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (header, *rows)
    ]
    model = summary["model"]
    return "\n".join([f"model {model['name']} ({model['sha256'][:12]}…)", *lines])


def html_page(summary: Mapping[str, Any], records: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Render the page. All text of items and models is escaped."""
    environment = html.environment(Path(__file__).with_name("templates"))
    first_records = {name: of_suite[:MAX_PAGE_RECORDS] for name, of_suite in records.items()}
    settings_json = json.dumps({"settings": summary["settings"], "packages": summary["packages"]}, indent=2)
    return environment.get_template("results.html").render(
        results=summary, records=first_records, settings=settings_json
    )


def _summarize_suite(each: SuiteResult) -> dict[str, Any]:
    return {
        "name": each.named.name,
        "kind": each.named.suite.kind,
        "sha256": each.named.sha256,
        "chat_template": each.chat_template,
        "settings": each.named.suite.model_dump(mode="json"),
        "data": [asdict(file) for file in each.files],
        "items": {"path": each.records_path, "sha256": sha256(each.records_jsonl()).hexdigest()},
        "metrics": [asdict(metric) for metric in each.result.metrics],
    }
