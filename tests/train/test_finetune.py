"""Fine-tuning with one and two gloo processes: results, kill and resume, errors."""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader

from core import config, manifest, storage
from core.config import FinetuneConfig
from core.errors import ConfigError, GristmillError, InputError, MismatchError, OutputError
from core.tokenizer.chat import Message
from model.formats import adapter, lora
from model.formats.checkpoint import find_latest, load_weights
from model.generation import Sampling, generate
from model.loading import LoadedModel, load
from model.transformer import Transformer
from tests.train.folder import Folder
from tests.train.launch import kill_after, run
from tests.train.shard_maker import WORDS
from train import run_folder
from train.finetune import finetune, learning_rate
from train.loop import train
from train.parallel import World

STEPS = 8
MODULE = "train.finetune"
LEARNED = ("train/", "val/", "data/")


class Tuning:
    """Configuration, examples and output folder of a fine-tuning run."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.output = folder / "tuned"
        self.examples = folder / "pairs.jsonl"
        self.file = folder / "config.toml"
        self.arguments = ("--config", str(self.file))
        folder.mkdir(exist_ok=True)
        drawn = np.random.default_rng(1)
        texts = [" ".join(drawn.choice(WORDS, 2)) for _ in range(150)]
        self.examples.write_text(
            "".join(json.dumps({"prompt": text, "completion": text[::-1]}) + "\n" for text in texts)
        )
        self.file.write_text(f"""
            [output]
            path = "{self.output}"
            [finetune]
            model = "{base}"
            files = ["{self.examples}"]
            sequence_length = 32
            validation_share = 0.1
            steps = {STEPS}
            batch_size = 8
            micro_batch_size = 2
            warmup_steps = 1
            validate_every = 4
            checkpoint_every = 3
            sample_prompts = ["slow mill"]
            sample_tokens = 6
            [finetune.lora]
            rank = 4
            dropout = 0.1
        """)

    def config(self, *overrides: str) -> config.Config:
        return config.load(str(self.file), overrides)

    @property
    def model(self) -> str:
        return str(self.output / "model")

    def metrics(self, *prefixes: str) -> list[dict[str, Any]]:
        lines = (self.output / "finetuning" / "metrics.jsonl").read_text().splitlines()
        return [
            {key: value for key, value in json.loads(line).items() if key.startswith(prefixes)}
            for line in lines
        ]

    def copy(self, folder: Path) -> "Tuning":
        """Return a copy with its own output folder."""
        result = Tuning(folder, Path(self.config().finetune.model))
        shutil.copytree(self.output, result.output)
        return result


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Path:
    """Return a run pre-trained for a few steps."""
    made = Folder(tmp_path_factory.mktemp("base"), packed)
    train(made.config("train.steps=4", "train.learning_rate=0.05"), world)
    return made.output


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, base: Path, world: World) -> Tuning:
    """Fine-tune all weights with one process."""
    made = Tuning(tmp_path_factory.mktemp("full"), base)
    finetune(made.config(), world)
    return made


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Tuning:
    """Train an adapter with two processes, without interruption."""
    made = Tuning(tmp_path_factory.mktemp("uninterrupted"), base)
    ended = run(2, *made.arguments, "--set", "finetune.method=lora", module=MODULE)
    assert ended.returncode == 0, ended.stderr
    assert all(line.startswith("finetune: step ") for line in ended.stderr.splitlines()), ended.stderr
    assert ended.stdout.startswith("finetune: examples: ")
    assert re.search(r"^finetune: model +[\d,]+ parameters, of which [\d,]+ are trained$", ended.stdout, re.M)
    return made


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Tuning:
    """Kill the same run between its first checkpoint and its end."""
    made = Tuning(tmp_path_factory.mktemp("killed"), base)
    metrics = made.output / "finetuning" / "metrics.jsonl"
    kill_after(
        random.randint(4, 7), metrics, 2, *made.arguments, "--set", "finetune.method=lora", module=MODULE
    )
    assert not (made.output / "finetuning" / "manifest.json").exists()
    return made


def with_trained_weights(tuning: Tuning, model: Transformer) -> Transformer:
    """Load the weights of the last checkpoint into ``model``."""
    found = find_latest(str(tuning.output / "finetuning" / "checkpoints"))
    assert found
    load_weights(*found, model)
    return model.eval()


def test_full_fine_tuning_learns_and_writes_a_model(full: Tuning, base: Path) -> None:
    lines = full.metrics(*LEARNED)
    assert lines[-1]["train/loss"] < lines[0]["train/loss"]
    assert lines[-1]["val/loss"] < lines[3]["val/loss"]
    assert lines[1]["train/lr"] == pytest.approx(0.05 / 10, rel=0.1)
    assert list((full.output / "finetuning" / "tensorboard").iterdir())
    result = load(full.model)
    assert "config.json" in {path.name for path in Path(full.model).iterdir()}
    expected = with_trained_weights(full, Transformer(load(str(base)).model.config)).state_dict()
    for name, weight in result.model.state_dict().items():
        assert torch.equal(weight, expected[name])
    assert result.facts["origin_sha256"] == load(str(base)).sha256
    counts = manifest.read(str(full.output / "finetuning"), "finetune").counts
    assert counts["examples_train"] + counts["examples_validation"] == 150


def test_samples_are_answers_to_the_prompts(full: Tuning) -> None:
    lines = (full.output / "finetuning" / "samples.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [(each["step"], each["prompt"]) for each in found] == [(4, "slow mill"), (8, "slow mill")]
    result = load(full.model)
    chat = result.chat
    ids = chat.prompt([Message("user", "slow mill")])
    answer = [*generate(result.model, ids, 6, Sampling(temperature=0), chat.stop)]
    assert found[-1]["text"] == result.tokenizer.decode(answer)


def test_fine_tuned_models_can_be_fine_tuned_again(full: Tuning, tmp_path: Path, world: World) -> None:
    again = Tuning(tmp_path, Path(full.model))
    finetune(again.config("finetune.steps=2", "finetune.method=lora"), world)
    with pytest.raises(ConfigError, match=r"pre-trained with 0\.05"):
        finetune(again.config("finetune.learning_rate=0.01", f"output.path='{tmp_path}/other'"), world)


def test_a_warm_up_longer_than_the_epochs_is_refused(base: Path, tmp_path: Path, world: World) -> None:
    made = Tuning(tmp_path, base)
    with pytest.raises(ConfigError, match=r"finetune\.warmup_steps = 500: longer than the run of \d+ steps"):
        finetune(made.config("finetune.steps=0", "finetune.warmup_steps=500"), world)
    assert not made.output.exists()


def test_lora_trains_and_stores_only_the_adapter(uninterrupted: Tuning, base: Path) -> None:
    lines = uninterrupted.metrics("train/loss")
    assert lines[-1]["train/loss"] < lines[0]["train/loss"]
    path = uninterrupted.output / "finetuning" / "checkpoints" / f"step-{STEPS:08}"
    names = FileSystemReader(str(path)).read_metadata().state_dict_metadata
    weights = [name for name in names if name.startswith("model.")]
    assert weights
    assert all(name.endswith((".lora_a", ".lora_b")) for name in weights)

    expected = load(str(base)).model
    lora.attach(expected, rank=4, alpha=32.0, dropout=0.1)
    with_trained_weights(uninterrupted, expected)
    tokens = torch.arange(20)[None]
    result = load(uninterrupted.model)
    torch.testing.assert_close(result.model(tokens), expected(tokens), atol=1e-5, rtol=1e-5)
    assert result.facts["base_sha256"] == load(str(base)).sha256
    assert not torch.allclose(result.model(tokens), load(str(base)).model(tokens), atol=1e-3)


def test_a_killed_run_resumes_bit_for_bit(uninterrupted: Tuning, killed: Tuning, tmp_path: Path) -> None:
    resumed = killed.copy(tmp_path / "resumed")
    ended = run(2, *resumed.arguments, "--set", "finetune.method=lora", module=MODULE)
    assert ended.returncode == 0, ended.stderr
    assert "finetune: resuming after step" in ended.stdout
    assert resumed.metrics(*LEARNED) == uninterrupted.metrics(*LEARNED)
    one, other = (Path(each.model, adapter.WEIGHTS).read_bytes() for each in (resumed, uninterrupted))
    assert one == other


def test_batches_do_not_depend_on_the_number_of_processes(
    uninterrupted: Tuning, killed: Tuning, tmp_path: Path, world: World
) -> None:
    resumed = killed.copy(tmp_path / "resumed")
    finetune(resumed.config("finetune.method=lora"), world)
    assert resumed.metrics("data/") == uninterrupted.metrics("data/")


def test_complete_runs_are_unchanged_and_a_missing_model_is_rewritten(
    full: Tuning, tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    done = full.copy(tmp_path / "done")
    before = contents(done.output)
    finetune(done.config(), world)
    assert capsys.readouterr().out == f"finetune: already done (step {STEPS})\n"
    assert contents(done.output) == before
    shutil.rmtree(done.model)
    finetune(done.config(), world)
    assert load(done.model).sha256 == load(full.model).sha256


def test_adapter_with_another_base_model_is_refused(
    uninterrupted: Tuning, full: Tuning, tmp_path: Path
) -> None:
    moved = uninterrupted.copy(tmp_path / "moved")
    path = Path(moved.model, adapter.CONFIG)
    facts = manifest.read(moved.model, "model")
    path.write_text(path.read_text().replace(str(moved.config().finetune.model), full.model))
    size, sha256 = storage.checksum(str(path))
    files = [
        entry if entry.path != path.name else entry.model_copy(update={"size": size, "sha256": sha256})
        for entry in facts.files
    ]
    manifest.publish(moved.model, facts.model_copy(update={"files": files}))
    with pytest.raises(MismatchError, match="made for model"):
        load(moved.model)


def write(text: str) -> Callable[[Tuning], None]:
    def spoil(made: Tuning) -> None:
        made.examples.write_text(text)

    return spoil


def leave(folder: str) -> Callable[[Tuning], None]:
    def spoil(made: Tuning) -> None:
        path = made.output / folder
        path.mkdir(parents=True)
        (path / "notes.txt").write_text("mine")

    return spoil


@pytest.mark.parametrize(
    ("kind", "message", "overrides", "spoil"),
    [
        (ConfigError, "output.path is empty", ["output.path=''"], None),
        (ConfigError, "finetune.model is empty", ["finetune.model=''"], None),
        (ConfigError, "finetune.files is empty", ["finetune.files=[]"], None),
        (InputError, "does not exist on this machine", ["finetune.model='none'"], None),
        (InputError, "line 1: not JSON", [], write("{")),
        (InputError, "no training examples", ["finetune.sequence_length=8"], None),
        (InputError, "no training examples", [], write('{"messages": [{"role": "user", "content": "x"}]}')),
        (ConfigError, "set at most 0.005", ["finetune.learning_rate=0.0051"], None),
        (ConfigError, "context of out is 32 tokens", ["finetune.sequence_length=64"], None),
        (
            ConfigError,
            r"targets\[0\] = 'q_proj': must be one of",
            ["finetune.method=lora", "finetune.lora.targets=['q_proj']"],
            None,
        ),
        (
            ConfigError,
            r"mixture\.news: this source has no training rows",
            ["finetune.mixture={news=1.0}"],
            None,
        ),
        (OutputError, "holds files that are not", [], leave("finetuning")),
        (OutputError, "holds files that are not", [], leave("model")),
    ],
)
def test_refused_runs_change_nothing(
    kind: type[GristmillError],
    message: str,
    overrides: list[str],
    spoil: Callable[[Tuning], None] | None,
    base: Path,
    tmp_path: Path,
    world: World,
) -> None:
    made = Tuning(tmp_path, base)
    if spoil:
        spoil(made)
    before = contents(tmp_path), sorted(tmp_path.rglob("*"))
    with pytest.raises(kind, match=message) as caught:
        finetune(made.config(*overrides), world)
    assert "\n" not in str(caught.value)
    assert (contents(tmp_path), sorted(tmp_path.rglob("*"))) == before


def test_a_published_model_survives_a_refused_training(
    full: Tuning, tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = full.copy(tmp_path / "made")
    before = contents(made.output)

    def refuse(*_: object) -> bool:
        raise OutputError("is in use")

    monkeypatch.setattr(run_folder, "begin", refuse)
    with pytest.raises(OutputError, match="is in use"):
        finetune(made.config(), world)
    assert contents(made.output) == before


def test_another_run_needs_overwrite(full: Tuning, tmp_path: Path, world: World) -> None:
    made = full.copy(tmp_path / "made")
    before = contents(made.output)
    with pytest.raises(OutputError, match=r"output\.overwrite=true"):
        finetune(made.config("finetune.seed=2"), world)
    assert contents(made.output) == before
    finetune(made.config("finetune.seed=2", "finetune.steps=1", "output.overwrite=true"), world)
    assert len(made.metrics("train/loss")) == 1
    assert load(made.model).sha256 != load(full.model).sha256


@pytest.mark.parametrize(
    ("method", "own", "asked", "expected"),
    [
        ("full", None, 0.0, 3e-5),
        ("lora", None, 0.0, 3e-4),
        ("full", None, 1e-3, 1e-3),
        ("full", 3e-3, 0.0, 3e-4),
        ("lora", 3e-3, 0.0, 3e-4),
        ("lora", 3e-3, 3e-4, 3e-4),
    ],
)
def test_learning_rate_is_at_most_a_tenth_of_the_pretraining_rate(
    method: Any, own: float | None, asked: float, expected: float, base: Path
) -> None:
    found = load(str(base))
    facts = {} if own is None else {"learning_rate": own}
    given = LoadedModel(found.model, found.tokenizer, found.name, found.sha256, facts)
    settings = FinetuneConfig(method=method, learning_rate=asked)
    assert learning_rate(settings, given) == pytest.approx(expected)
