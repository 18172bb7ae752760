"""Training with edits, from the start and from a checkpoint on, and the steps that saw a document."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from core import manifest
from core.errors import ConfigError, GristmillError, InputError, MismatchError
from core.shards import Shards
from core.shards.documents import find_documents
from model.config import TransformerConfig
from model.formats.checkpoint import STAGE, find_all, load_weights
from model.transformer import Transformer
from tests.train.folder import STEPS, Folder
from tests.train.launch import run
from train import training_run
from train.data.batch_sizes import BatchSizes
from train.explain import explain, explain_step, main
from train.loop import Trainer, train
from train.losses import LossSums
from train.parallel import World
from train.row_losses import row_losses, weights_before

pytestmark = pytest.mark.distributed

BATCH_SIZE = 8
LAST_CHECKPOINT = 6


class InterruptionError(Exception):
    """Raised in place of a step."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Folder:
    """Train without edits."""
    made = Folder(tmp_path_factory.mktemp("plain"), packed)
    train(made.config(), world)
    return made


def interrupted(made: Folder, world: World, *overrides: str) -> Folder:
    """Train until the step after :data:`LAST_CHECKPOINT`."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptionError):
        take_step = Trainer._train_step

        def stop_late(trainer: Trainer, pending: Any) -> dict[str, Any]:
            if trainer.step > LAST_CHECKPOINT + 1:
                raise InterruptionError
            return take_step(trainer, pending)

        patch.setattr(Trainer, "_train_step", stop_late)
        train(made.config(*overrides), world)
    return made


def documents_by_step(folder: Folder) -> list[Counter[str]]:
    """Return for each step the tokens of each document in its batch, by reading all rows."""
    shards = Shards.open(str(folder.output / "shards"))
    stream = training_run.prepare(folder.config(), shards, ()).stream
    found = []
    for step in range(1, STEPS + 1):
        rows = stream.locate(BatchSizes(BATCH_SIZE).positions(step))
        tokens: Counter[str] = Counter()
        for source, index in zip(rows.sources.tolist(), rows.indices.tolist(), strict=True):
            _, spans = shards.read("train", stream.sources[source], np.array([index]))
            for document, length in zip(spans.document_id, spans.length.tolist(), strict=True):
                tokens[document.tobytes().hex()] += length
        found.append(tokens)
    return found


def seen_late_and_early(folder: Folder) -> tuple[str, list[int]]:
    """Return a document that a step up to the checkpoint and a later one see, and its steps."""
    by_step = documents_by_step(folder)
    for document in sorted(set().union(*by_step)):
        steps = [number for number, tokens in enumerate(by_step, 1) if document in tokens]
        if steps[0] <= LAST_CHECKPOINT < steps[-1]:
            return document, steps
    raise AssertionError("no such document")


def seen(folder: Folder) -> int:
    facts = json.loads((folder.training / "manifest.json").read_text())["facts"]
    counts: dict[str, int] = facts["tokens_seen"]
    assert (
        facts["metrics"].items()
        >= {f"data/tokens_seen/{key}": count for key, count in counts.items()}.items()
    )
    return sum(counts.values())


def hashes(folder: Folder) -> list[str]:
    return [line["data/batch_hash"] for line in folder.metrics("data/")]


def changed_steps(one: Folder, other: Folder) -> list[int]:
    pairs = zip(hashes(one), hashes(other), strict=True)
    return [step for step, (left, right) in enumerate(pairs, 1) if left != right]


def equal_weights(folder: Folder, *steps: int) -> bool:
    """True if the checkpoints of two steps have the same weights."""
    states = []
    for step in steps:
        path = str(folder.training / "checkpoints" / f"step-{step:08}")
        model = Transformer(TransformerConfig.from_dict(manifest.read(path, STAGE).facts["model"]))
        load_weights(path, manifest.read(path, STAGE), model)
        states.append(model.state_dict())
    one, other = states
    return all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_tokens_seen_are_those_of_the_rows(plain: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    by_step = documents_by_step(plain)
    assert seen(plain) == sum(tokens.total() for tokens in by_step)
    at_checkpoints = {
        line["step"]: sum(value for key, value in line.items() if "tokens_seen" in key)
        for line in map(json.loads, plain.metrics_file.read_text().splitlines())
        if any("tokens_seen" in key for key in line)
    }
    assert at_checkpoints == {
        step: sum(tokens.total() for tokens in by_step[:step]) for step in (3, 6, 9, STEPS)
    }
    checkpoint = plain.training / "checkpoints" / "step-00000009" / "manifest.json"
    recorded = json.loads(checkpoint.read_text())["facts"]
    assert sum(recorded["tokens_seen"].values()) == at_checkpoints[9]
    assert recorded["order_sha256"] and recorded["edits"] == []


def test_a_document_is_removed_from_the_resumed_step_on(
    plain: Folder, packed: Path, tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    document, steps = seen_late_and_early(plain)
    made = interrupted(Folder(tmp_path, packed), world)
    before = made.contents()
    early = f"train.edits=[{{documents=['{document}'],from_step={LAST_CHECKPOINT}}}]"
    with pytest.raises(
        ConfigError, match=rf"without this edit; set from_step = {LAST_CHECKPOINT + 1} or later"
    ):
        train(made.config(early), world)
    assert made.contents() == before
    edit = f"train.edits=[{{documents=['{document}'],from_step={LAST_CHECKPOINT + 1}}}]"
    capsys.readouterr()
    train(made.config(edit), world)
    assert f"train: from step {LAST_CHECKPOINT + 1} without 1 document in" in capsys.readouterr().out
    assert changed_steps(made, plain) == [step for step in steps if step > LAST_CHECKPOINT]
    by_step = documents_by_step(plain)
    assert seen(plain) - seen(made) == sum(tokens[document] for tokens in by_step[LAST_CHECKPOINT:])

    lines = list(explain(made.config(edit), [document]))
    found = {int(match[1]): match[2] for line in lines if (match := re.match(r"  step (\d+): (\w+)", line))}
    assert found == {step: "seen" if step <= LAST_CHECKPOINT else "left" for step in steps}

    facts = json.loads((made.training / "manifest.json").read_text())["facts"]
    assert [each["from_step"] for each in facts["edits"]] == [LAST_CHECKPOINT + 1]
    others = json.loads((plain.training / "manifest.json").read_text())["facts"]
    assert facts["order_sha256"] != others["order_sha256"]
    # A finished run is not taken for one with other edits.
    train(made.config(edit), world)
    with pytest.raises(ConfigError, match="with this edit, which is missing or changed"):
        train(made.config(), world)


def test_an_edit_before_the_checkpoint_must_stay(
    plain: Folder, packed: Path, tmp_path: Path, world: World
) -> None:
    document, _ = seen_late_and_early(plain)
    edit = f"train.edits=[{{documents=['{document}'],from_step=2}}]"
    made = interrupted(Folder(tmp_path, packed), world, edit)
    before = made.contents()
    with pytest.raises(ConfigError, match=r"1 document in .* step 2: .* which is missing or changed"):
        train(made.config(), world)
    with pytest.raises(ConfigError, match="which is missing or changed"):
        list(explain(made.config(), [document]))
    assert made.contents() == before
    train(made.config("output.overwrite=true"), world)
    assert changed_steps(made, plain) == []


def test_two_processes_train_as_one_where_edits_leave_no_targets(
    packed: Path, plain: Folder, tmp_path: Path, world: World
) -> None:
    """Of step 5 the second process has no targets, of steps 9 and 10 none has."""
    shards = Shards.open(str(packed / "shards"))
    stream = training_run.prepare(plain.config(), shards, ()).stream
    files = [(entry.path, source) for source in stream.sources for entry in shards.files("train", source)]
    rows = stream.locate(BatchSizes(BATCH_SIZE).positions(5, rank=1, world_size=2))
    removed = []
    for source, row in zip(rows.sources.tolist(), rows.indices.tolist(), strict=True):
        first, second = shards.files("train", stream.sources[source])
        path, within = (first.path, row) if row < first.rows else (second.path, row - first.rows)
        removed.append(f"{{from_step=5,file='{path}',rows=[{within},{within}]}}")
    removed += [f"{{from_step=9,file='{path}'}}" for path, _ in files]
    edits = f"train.edits=[{','.join(removed)}]"
    one = Folder(tmp_path / "one", packed)
    train(one.config(edits), world)
    two = Folder(tmp_path / "two", packed)
    ended = run(2, *two.arguments, "--set", edits)
    assert ended.returncode == 0, ended.stderr
    assert one.metrics("data/") == two.metrics("data/")
    assert changed_steps(one, plain)[0] == 5
    for step, (left, right) in enumerate(zip(one.metrics("train/"), two.metrics("train/"), strict=True), 1):
        assert ("train/loss" in left) == ("train/loss" in right) == (step < 9)
        if step < 9:
            assert left["train/loss"] == pytest.approx(right["train/loss"], rel=1e-4)
    assert one.metrics("val/")[-1] == pytest.approx(two.metrics("val/")[-1], rel=1e-4)
    assert equal_weights(one, 9, 10)


def test_every_document_is_explained_by_id_and_url(
    plain: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_step = documents_by_step(plain)
    made = Folder(tmp_path, plain.output)
    ids = sorted(set().union(*by_step))
    (made.output / "documents").mkdir()
    urls = [f"http://a.org/{document}" for document in ids]
    pq.write_table(pa.table({"id": ids, "url": urls}), made.output / "documents" / "a.parquet")
    for name, document in [*zip(ids[:20], ids, strict=False), *zip(urls[:5], ids, strict=False)]:
        head, *lines, first = list(explain(made.config(), [name]))
        assert head == f"{document} http://a.org/{document}"
        assert first.startswith("  first seen at step ")
        tokens: Counter[int] = Counter()
        for line in lines:
            step, begin, last = re.fullmatch(
                r"  step (\d+): seen \(position \d+, train/\w+ row \d+, tokens (\d+) to (\d+)\)", line
            ).groups()  # type: ignore[union-attr]  # else the test fails
            tokens[int(step)] += int(last) - int(begin) + 1
        assert tokens == {step: found[document] for step, found in enumerate(by_step, 1) if document in found}
    main([*made.arguments, "--document", ids[0], "--url", urls[1]])
    assert [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")] == [
        f"{document} http://a.org/{document}" for document in ids[:2]
    ]
    scores = {"language": "en", "language_score": 0.98, "metrics": {"quality": 0.71234, "toxicity": None}}
    rows = [{"id": document, "url": url, **scores} for document, url in zip(ids, urls, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows), made.output / "documents" / "a.parquet")
    documents = [line for line in explain_step(made.config(), 1) if line.startswith("    ")]
    assert all(line.endswith(" en, language_score 0.98, quality 0.712") for line in documents)
    assert all(f" http://a.org/{line.split()[0]} " in line for line in documents)
    without_url = pa.Table.from_pylist([row | {"url": ""} for row in rows])
    pq.write_table(without_url, made.output / "documents" / "a.parquet")
    documents = [line for line in explain_step(made.config(), 1) if line.startswith("    ")]
    assert all(re.search(r"\d en, language_score 0\.98", line) for line in documents)


def test_documents_of_no_step_are_told_apart(packed: Path, plain: Folder) -> None:
    shards = Shards.open(str(packed / "shards"))
    _, spans = shards.read("validation", "books", np.array([0]))
    held_out = spans.document_id[0].tobytes().hex()
    assert {span.split for span in find_documents(shards, [held_out])} == {"validation"}
    assert list(explain(plain.config(), [held_out])) == [held_out, "  in no step of this run"]
    with pytest.raises(InputError, match=f"{'f' * 32}: not in "):
        list(explain(plain.config(), ["f" * 32]))
    with pytest.raises(MismatchError, match=r"trained with another train\.seed;"):
        list(explain(plain.config("train.seed=9"), [held_out]))


def test_a_step_is_explained_by_its_rows_and_documents(
    plain: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    by_step, hashes = documents_by_step(plain), plain.metrics("data/batch_hash")
    for step in (1, STEPS):
        head, *lines = list(explain_step(plain.config(), step))
        assert (
            head == f"step {step}: seen ({BATCH_SIZE} rows, batch hash {hashes[step - 1]['data/batch_hash']})"
        )
        positions = [line for line in lines if line.startswith("  position ")]
        expected = BatchSizes(BATCH_SIZE).positions(step).tolist()
        assert [int(line.split()[1].rstrip(":")) for line in positions] == expected
        tokens: Counter[str] = Counter()
        for line in lines:
            if found := re.fullmatch(r"    ([0-9a-f]{32}) tokens (\d+) to (\d+)", line):
                tokens[found[1]] += int(found[3]) - int(found[2]) + 1
        assert tokens == by_step[step - 1]
    main([*plain.arguments, "--step", "3"])
    assert capsys.readouterr().out.startswith("step 3: seen (")
    with pytest.raises(ConfigError, match="0 is not at least 1"):
        main([*plain.arguments, "--step", "0"])


def test_losses_of_rows_are_those_of_the_step_after_a_checkpoint(plain: Folder, world: World) -> None:
    config = plain.config()
    run = training_run.prepare(config, training_run.open_shards(config), ())
    step = LAST_CHECKPOINT + 1
    assert len(find_all(run.checkpoints)) == 2
    for explained, before, name in ((step, 0, "initial weights"), (STEPS, STEPS - 1, "checkpoint of step 9")):
        model, taken = weights_before(run, explained, world.device)
        assert taken == before
        sums = list(row_losses(run, model, explained))
        _, note, *lines = explain_step(config, explained, with_losses=True)
        assert note == f"  losses: nats per target, with the {name}"
        rows = [line for line in lines if line.startswith("  position ")]
        assert [line.rpartition(" ")[2] for line in rows] == [f"{each.loss:.3f}" for each in sums]
    trained_on = plain.metrics("train/loss")[STEPS - 1]["train/loss"]
    assert sum(sums, LossSums()).loss == pytest.approx(trained_on, rel=1e-5)


def test_the_first_checkpoint_with_a_document_is_named(plain: Folder, packed: Path, tmp_path: Path) -> None:
    document, (first, *_) = seen_late_and_early(plain)
    due = -(-first // 3) * 3
    *_, line = explain(plain.config(), [document])
    assert line == (
        f"  first seen at step {first}; first in the checkpoint of step {due}, which is removed; the first "
        "one that is kept is of step 9"
    )
    *_, line = explain(Folder(tmp_path, packed).config(), [document])
    assert line == f"  will be seen first at step {first}, and be in the checkpoint of step {due}"


def test_what_an_edit_leaves_out_of_a_step_is_marked(packed: Path, plain: Folder, tmp_path: Path) -> None:
    document, _ = seen_late_and_early(plain)
    folder = Folder(tmp_path, packed)
    edit = f"train.edits=[{{documents=['{document}'],from_step=2}}]"
    marked = {
        step: [line for line in explain_step(folder.config(edit), step) if "left out" in line]
        for step in range(1, STEPS + 1)
    }
    expected = [
        step for step, found in enumerate(documents_by_step(plain), 1) if document in found and step > 1
    ]
    assert [step for step, lines in marked.items() if lines] == expected
    assert all(
        document in line and "left out from step 2 on" in line for lines in marked.values() for line in lines
    )


def test_steps_ahead_are_known_before_training(packed: Path, plain: Folder, tmp_path: Path) -> None:
    document, steps = seen_late_and_early(plain)
    _, *lines, _ = explain(Folder(tmp_path, packed).config(), [document])
    assert sorted({int(line.split()[1].rstrip(":")) for line in lines}) == steps
    assert all(": ahead (" in line for line in lines)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("file='train/books/part-9.arrow'", r"train\.edits\[0\]\.file = .*: not a file"),
        ("documents=['http://a.org']", "has no documents/ to look up a URL"),
        ("rows=[1,2]", "nothing to leave out: an edit must have one of file, documents and documents_file"),
        ("file='a',documents=['b']", "file and documents: an edit must have one of"),
        ("file='a',rows=[2,1]", r"rows = \[2, 1\]: must be the first and the last row"),
        ("documents=['b'],rows=[1,2]", r"rows = \[1, 2\]: must be the first and the last row"),
        ("file='a',from_step=0", r"train\.edits\[0\]\.from_step = 0: must be at least 1"),
    ],
)
def test_edits_are_checked_before_anything_is_written(
    packed: Path, tmp_path: Path, world: World, edit: str, message: str
) -> None:
    made = Folder(tmp_path, packed)
    before = made.contents()
    with pytest.raises(GristmillError, match=message):
        train(made.config(f"train.edits=[{{{edit}}}]"), world)
    assert made.contents() == before
