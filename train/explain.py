"""``python -m train.explain --config FILE.toml --document ID|URL``: the steps of a run that see a document.

The rows of the document are found in the shards, and their steps by the inverse of the order, so the answer
takes as long before a run as after it. Steps at which an edit leaves the document out are marked.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from core import config as configuration
from core import errors, storage
from core.config import Config
from core.errors import InputError, MismatchError
from core.shards.documents import DocumentSpan, document_urls, find_documents, resolve_one
from model.formats.checkpoint import find_latest
from train import training_run
from train.data.edits import Edit, check_resumed
from train.data.stream import Stream
from train.training_run import TrainingRun


class Visit(NamedTuple):
    """A step whose batch has a row with a part of a document."""

    step: int
    position: int
    span: DocumentSpan
    edit: Edit | None
    """The edit that leaves the part out at this step."""


def main(arguments: Sequence[str]) -> None:
    """Run the command line."""
    options = _parse(arguments)
    config = configuration.from_options(options, configuration.required("output.path"))
    if config is not None:
        for line in explain(config, options.document):
            print(line)


def explain(config: Config, names: Sequence[str]) -> Iterator[str]:
    """Yield lines about documents, given by their ids or URLs.

    Raises :class:`InputError` for a document that is not in the shards, and :class:`MismatchError` if the run
    was trained with another configuration.
    """
    shards = training_run.open_shards(config)
    run = training_run.prepare(config, shards, training_run.find_edits(config, shards))
    done = _completed_steps(run)
    ids = [each for name in names for each in resolve_one(config.output.path, name)]
    spans: dict[str, list[DocumentSpan]] = {each: [] for each in ids}
    for span in find_documents(shards, ids):
        spans[span.document].append(span)
    has_urls = storage.exists(storage.join(config.output.path, "documents"))
    urls = document_urls(config.output.path, list(spans)) if has_urls else {}
    for document, found in spans.items():
        if not found:
            raise InputError(f"{document}: not in {shards.folder}; check the id, or name another run")
        yield " ".join(filter(None, [document, urls.get(document)]))
        yield from _describe(visits(run.stream, found, run.config.batch_size, run.config.steps), done)


def visits(stream: Stream, spans: Sequence[DocumentSpan], batch_size: int, steps: int) -> list[Visit]:
    """Return the visits of a document's spans in the first ``steps`` steps, in order."""
    found = []
    for span in spans:
        positions = (
            stream.positions(span.source, span.row, steps * batch_size) if span.split == "train" else ()
        )
        edits = [edit for edit in stream.edits if edit.removes(span)]
        for position in positions:
            effective = (edit for edit in edits if edit.from_position <= position)
            found.append(Visit(position // batch_size + 1, position, span, next(effective, None)))
    return sorted(found, key=lambda visit: (visit.position, visit.span.start))


def _describe(found: Sequence[Visit], done: int) -> Iterator[str]:
    """Yield a line for each visit; ``done`` is the number of completed steps."""
    for step, position, span, edit in found:
        state = "seen" if step <= done else "ahead"
        if edit:
            state = f"left out from step {edit.from_step} on"
        row = f"{span.split}/{span.source} row {span.row:,}"
        tokens = f"tokens {span.start:,} to {span.start + span.length - 1:,}"
        yield f"  step {step:,}: {state} (position {position:,}, {row}, {tokens})"
    if not found:
        yield "  in no step of this run"


def _completed_steps(run: TrainingRun) -> int:
    """Return the step of the latest checkpoint, 0 if there is none.

    Raises :class:`MismatchError` if it was trained with other settings, :class:`ConfigError` for other edits.
    """
    if not (found := find_latest(run.checkpoints)):
        return 0
    path, checkpoint = found
    for name, _, _ in training_run.differences(run.identity, checkpoint.facts):
        raise MismatchError(
            f"{path}: trained with another {name}; give the configuration of the run, as in its manifest.json"
        )
    check_resumed(checkpoint.facts["edits"], run.stream.edits, checkpoint.counts["step"])
    return checkpoint.counts["step"]


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Show the steps of a training run that see a document.")
    parser.add_argument(
        "--document",
        action="append",
        required=True,
        metavar="ID|URL",
        help="id or URL of a document, as in documents/; may be repeated",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    errors.run(main)
