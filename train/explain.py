"""``python -m train.explain --config FILE.toml``: the steps that see a document, or what a step sees.

``--document ID|URL``: the rows of the document are found in the shards, and their steps by the inverse of the
order. ``--step N``: the rows of the batch follow from the order, and their documents are read from the
shards. The answer takes as long before a run as after it. What an edit leaves out is marked.
``--losses`` adds the loss of each row, for which it loads the last checkpoint before the step.
"""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from core import config as configuration
from core import errors, storage
from core.config import Config, bounded
from core.errors import ConfigError, InputError, MismatchError
from core.run_paths import data_folder
from core.shards import Rows, Shards
from core.shards.documents import (
    DocumentSpan,
    document_scores,
    document_urls,
    find_documents,
    resolve_one,
)
from core.shards.inspection import document_ids
from model.formats.checkpoint import find_all, find_latest
from train import training_run
from train.data.batch import batch_hash, hash_text
from train.data.batch_sizes import BatchSizes
from train.data.dataset import read_stream
from train.data.edits import Edit, check_resumed
from train.data.stream import Stream
from train.row_losses import row_losses, weights_before
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
        if options.losses and not options.step:
            raise ConfigError("--losses: are those of the rows of a step; give --step")
        by_step = options.step and explain_step(config, options.step, with_losses=options.losses)
        for line in by_step or explain(config, options.document):
            print(line)


def explain(config: Config, names: Sequence[str]) -> Iterator[str]:
    """Yield lines about documents, given by their ids or URLs.

    Raises :class:`InputError` for a document that is not in the shards, and :class:`MismatchError` if the run
    was trained with another configuration.
    """
    shards = training_run.open_shards(config)
    run = training_run.prepare(config, shards, training_run.find_edits(config, shards))
    done = _completed_steps(run)
    ids = [each for name in names for each in resolve_one(data_folder(config), name)]
    spans: dict[str, list[DocumentSpan]] = {each: [] for each in ids}
    for span in find_documents(shards, ids):
        spans[span.document].append(span)
    urls = _urls(config, list(spans))
    for document, found in spans.items():
        if not found:
            raise InputError(f"{document}: not in {shards.folder}; check the id, or name another run")
        yield " ".join(filter(None, [document, urls.get(document)]))
        seen_by = visits(run.stream, found, run.batch_sizes, run.config.steps)
        yield from _describe(seen_by, done)
        yield from _describe_first(run, seen_by, done)


def explain_step(config: Config, step: int, *, with_losses: bool = False) -> Iterator[str]:
    """Yield lines about the batch of a step: its hash, as in ``metrics.jsonl``, rows and documents.

    ``with_losses``: the loss of each row, too, with the weights of the last checkpoint before the step.
    Raises :class:`MismatchError` if the run was trained with another configuration.
    """
    shards = training_run.open_shards(config)
    run = training_run.prepare(config, shards, training_run.find_edits(config, shards))
    state = "seen" if step <= _completed_steps(run) else "ahead"
    positions = run.batch_sizes.positions(step)
    ((batch, _),) = read_stream(run.dataset, run.stream, [positions])
    digest = hash_text(batch_hash(batch.tokens, positions))
    yield f"step {step:,}: {state} ({len(positions)} rows, batch hash {digest})"
    row_loss = dict.fromkeys(positions.tolist(), "")
    if with_losses:
        model, taken = weights_before(run, step, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        of_step = f"the checkpoint of step {taken:,}" if taken else "the initial weights"
        yield f"  losses: nats per target, with {of_step}"
        for position, loss in zip(row_loss, row_losses(run, model, step), strict=True):
            row_loss[position] = f", loss {loss.loss:.3f}"
    rows = run.stream.locate(positions)
    located = list(zip(positions.tolist(), rows.sources.tolist(), rows.indices.tolist(), strict=True))
    spans = {
        position: list(_spans_of_row(shards, run.stream.sources[source], index))
        for position, source, index in located
    }
    known = _scores(config, sorted({span.document for found in spans.values() for span in found}))
    for position, source, index in located:
        row = f"train/{run.stream.sources[source]} row {index:,}{row_loss[position]}"
        yield f"  position {position:,}: {row}"
        for span in spans[position]:
            edit = _effective_edit(run.stream, span, position)
            left_out = f", left out from step {edit.from_step} on" if edit else ""
            tokens = f"tokens {span.start:,} to {span.start + span.length - 1:,}{left_out}"
            yield " ".join(filter(None, [f"    {span.document}", tokens, known.get(span.document)]))


def _spans_of_row(shards: Shards, source: str, row: int) -> Iterator[DocumentSpan]:
    """Yield the spans of a training row."""
    found = Rows(*shards.read("train", source, np.array([row])))
    columns = (document_ids(found), found.spans.start.tolist(), found.spans.length.tolist())
    for document, start, length in zip(*columns, strict=True):
        yield DocumentSpan(document, "train", source, row, start, length)


def _effective_edit(stream: Stream, span: DocumentSpan, position: int) -> Edit | None:
    """Return the edit that leaves out a span at a position, if there is one."""
    edits = (edit for edit in stream.edits if edit.from_position <= position and edit.removes(span))
    return next(edits, None)


def _urls(config: Config, ids: Sequence[str]) -> dict[str, str]:
    """Return the URLs of documents, as far as the run has its corpus."""
    run = data_folder(config)
    return document_urls(run, ids) if storage.exists(storage.join(run, "documents")) else {}


def _scores(config: Config, ids: Sequence[str]) -> dict[str, str]:
    """Return URL, language and scores of documents as text, as far as the run has its corpus."""
    run = data_folder(config)
    if not storage.exists(storage.join(run, "documents")):
        return {}
    described = {}
    for document, found in document_scores(run, ids).items():
        named = {key: found[key] for key in ("url", "language") if key in found}
        numbers = [f"{key} {value:.3g}" for key, value in found.items() if key not in named]
        described[document] = ", ".join([" ".join(filter(None, named.values())), *numbers])
    return described


def visits(stream: Stream, spans: Sequence[DocumentSpan], batch_sizes: BatchSizes, steps: int) -> list[Visit]:
    """Return the visits of a document's spans in the first ``steps`` steps, in order."""
    found, past = [], batch_sizes.first_position(steps + 1)
    for span in spans:
        positions = stream.positions(span.source, span.row, past) if span.split == "train" else ()
        for position in positions:
            edit = _effective_edit(stream, span, position)
            found.append(Visit(batch_sizes.step(position), position, span, edit))
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


def _describe_first(run: TrainingRun, found: Sequence[Visit], done: int) -> Iterator[str]:
    """Yield a line about the first step that learns from a document, and the first checkpoint after it."""
    if not (first := next((visit.step for visit in found if not visit.edit), 0)):
        return
    every = run.config.checkpoint_every
    due = min(-(-first // every) * every, run.config.steps)
    kept = [step for step in find_all(run.checkpoints) if step >= first]
    if first > done:
        yield f"  will be seen first at step {first:,}, and be in the checkpoint of step {due:,}"
    elif kept[0] <= due:
        yield f"  first seen at step {first:,}; first in the checkpoint of step {kept[0]:,}"
    else:
        removed = f"which is removed; the first one that is kept is of step {kept[0]:,}"
        yield f"  first seen at step {first:,}; first in the checkpoint of step {due:,}, {removed}"


def _completed_steps(run: TrainingRun) -> int:
    """Return the step of the latest checkpoint, 0 if there is none.

    Raises :class:`MismatchError` if it was trained with other settings, :class:`ConfigError` for other edits.
    """
    if not (found := find_latest(run.checkpoints)):
        return 0
    path, checkpoint = found
    for name, _, _ in run.changes(checkpoint.facts):
        raise MismatchError(
            f"{path}: trained with another {name}; give the configuration of the run, as in its manifest.json"
        )
    check_resumed(checkpoint.facts["edits"], run.stream.edits, checkpoint.counts["step"])
    return checkpoint.counts["step"]


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = configuration.parser("Show the steps of a run that see a document, or what a step sees.")
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument(
        "--document",
        "--url",
        action="append",
        metavar="ID|URL",
        help="id or URL of a document, as in documents/; may be repeated",
    )
    subject.add_argument("--step", type=bounded(int, 1), metavar="N", help="number of a step, from 1")
    parser.add_argument("--losses", action="store_true", help="with --step: the loss of each row")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    errors.run(main)
