"""Continued pre-training (train.init_from), and runs that share shards (train.name, train.shards)."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from core.errors import ConfigError, GristmillError, InputError, MismatchError, OutputError
from evals.card import content
from model import export
from model.config import TransformerConfig
from model.loading import load
from tests.train.folder import Folder
from tests.train.shard_maker import small_run
from train import sample, training_run, validate
from train.explain import explain_step
from train.initial_model import _with_rows, adapt_config
from train.loop import Trainer, train
from train.parallel import World
from train.training_run import TrainingRun

SHORT = ("train.steps=3", "train.warmup_steps=0")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, packed: Path, world: World) -> Folder:
    """Return a run of three steps."""
    made = Folder(tmp_path_factory.mktemp("source"), packed)
    train(made.config(*SHORT), world)
    return made


@pytest.fixture(scope="module")
def exported(source: Folder) -> str:
    """Return the run's model as a Hugging Face folder."""
    folder = str(source.output.parent / "exported")
    export.main(["--model", str(source.output), "--to", folder])
    return folder


class Continued(Folder):
    """A run without settings of the model."""

    def __init__(self, folder: Path, packed: Path) -> None:
        super().__init__(folder, packed)
        lines = self._file.read_text().splitlines()
        start, end = lines.index("[model]"), lines.index("[train]")
        self._file.write_text("\n".join(lines[:start] + lines[end:]))

    def prepare(self, *overrides: str) -> TrainingRun:
        config = self.config(*overrides)
        training_run.validate(config)
        return training_run.prepare(config, training_run.open_shards(config), ())


@pytest.fixture
def folder(tmp_path: Path, packed: Path) -> Continued:
    return Continued(tmp_path, packed)


@pytest.mark.parametrize("kind", ["run", "checkpoint", "huggingface"])
def test_training_starts_with_the_weights_of_a_model(
    kind: str, source: Folder, exported: str, folder: Continued, world: World
) -> None:
    paths = {
        "run": str(source.output),
        "checkpoint": str(source.training / "checkpoints" / "step-00000003"),
        "huggingface": exported,
    }
    start = load(paths[kind])
    run = folder.prepare(f"train.init_from={paths[kind]}", "model.dropout=0.1")
    assert (run.model_config.num_layers, run.model_config.hidden_size) == (2, 32)
    assert run.model_config.dropout == 0.1
    assert run.identity["init_sha256"] == start.sha256
    trainer = Trainer(run, world)
    assert trainer.step == 0
    state = trainer.model.state_dict()
    assert state.keys() == start.model.state_dict().keys()
    for name, weight in start.model.state_dict().items():
        assert torch.equal(state[name].full_tensor(), weight), name
    assert not trainer.optimizer.state


def test_the_state_of_the_optimizer_can_be_inherited(
    source: Folder, exported: str, folder: Continued, world: World
) -> None:
    inherit = ("train.init_optimizer=true", "train.weight_decay=0.05")
    run = folder.prepare(f"train.init_from={source.output}", *inherit)
    trainer = Trainer(run, world)
    assert trainer.step == 0
    assert {int(state["step"]) for state in trainer.optimizer.state.values()} == {3}
    assert [group["weight_decay"] for group in trainer.optimizer.param_groups] == [0.05, 0.0]
    with pytest.raises(ConfigError, match=r"exported has no state of the optimizer"):
        folder.prepare(f"train.init_from={exported}", *inherit)


def test_a_continued_run_is_resumed_and_refuses_another_start(
    source: Folder, exported: str, folder: Continued, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    start = f"train.init_from={source.output}"
    train(folder.config(*SHORT, start), world)
    before = folder.contents()
    moved = shutil.copytree(source.output, folder.output.parent / "moved")
    train(folder.config(*SHORT, f"train.init_from={moved}"), world)  # the same content
    assert "already done" in capsys.readouterr().out
    for other in (f"train.init_from={exported}", "train.init_from=''"):
        with pytest.raises(OutputError, match=r"the model train\.init_from .*: changed in the run in"):
            train(folder.config(*SHORT, other), world)
    assert folder.contents() == before
    first, fresh = folder.metrics("train/loss")[0], source.metrics("train/loss")
    assert first["train/loss"] < fresh[0]["train/loss"]


def test_what_a_model_cannot_do_is_refused(
    source: Folder, folder: Continued, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    start = f"train.init_from={source.output}"
    with pytest.raises(ConfigError, match=r"model\.num_layers = 3: the model .* has 2; leave it out"):
        folder.prepare(start, "model.num_layers=3")
    with pytest.raises(ConfigError, match=r"model\.architecture = gpt2: .* has llama"):
        folder.prepare(start, "model.architecture='gpt2'")
    assert folder.prepare(start, "model.num_layers=2").model_config.num_layers == 2
    with pytest.raises(ConfigError, match=r"train\.init_from = .*: is this run itself"):
        folder.prepare(start, f"output.path={source.output}", "output.overwrite=true")
    with pytest.raises(ConfigError, match="init_optimizer = true: there is no init_from"):
        folder.prepare("train.init_optimizer=true")
    with pytest.raises(InputError, match="nothing"):
        folder.prepare("train.init_from=nothing")
    other = tmp_path / "bytes"
    small_run(str(other), "byte-bpe", 300)
    with pytest.raises(MismatchError, match=f"whose token .* --set tokenizer.path={source.output}"):
        Continued(tmp_path / "other", other).prepare(start)


def test_learned_positions_must_cover_the_rows() -> None:
    gpt2 = TransformerConfig(100, 1, 64, 4, 4, 256).as_gpt2(64)
    settings = training_run.Config().model
    assert adapt_config(settings, "x", gpt2, 100, 32) == gpt2
    with pytest.raises(ConfigError, match=r"positions for 64 tokens, .* have 128; pack with --set pack"):
        adapt_config(settings, "x", gpt2, 100, 128)


def test_new_tokens_start_as_the_mean_of_the_others() -> None:
    shape = TransformerConfig(100, 1, 64, 4, 4, 256)
    assert adapt_config(training_run.Config().model, "x", shape, 104, 32).vocabulary_size == 104
    weight = torch.randn(100, 64)
    grown = _with_rows(weight, 104)
    assert torch.equal(grown[:100], weight)
    assert torch.equal(grown[100:], weight.mean(0).expand(4, -1))


def test_named_runs_share_shards(
    packed: Path, tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path, packed)
    for name, seed in (("first", 1), ("second", 2)):
        train(folder.config(*SHORT, f"train.name={name}", f"train.seed={seed}"), world)
    assert {path.name for path in folder.output.iterdir()} == {"first", "second", "shards", "tokenizer"}
    models = [load(str(folder.output / name)) for name in ("first", "second")]
    assert [model.name for model in models] == ["first", "second"]
    assert models[0].sha256 != models[1].sha256
    card = content.model_card("", str(folder.output / "first"), [])
    assert (card["name"], card["training"].counts.steps.value) == ("first", 3)
    with pytest.raises(InputError, match=r"holds several runs; name one of .*/first, .*/second"):
        load(str(folder.output))
    config = folder.config("train.name=second", "train.seed=2", *SHORT)
    validate.compare(config, world)
    assert json.loads((folder.output / "second" / "validation.json").read_text())["step"] == 3
    assert next(explain_step(config, 2)).startswith("step 2: seen")
    capsys.readouterr()
    sample.main([*folder.arguments, "--set", "train.name=first", "--prompt", "The mill", "--tokens", "2"])
    assert capsys.readouterr().out.startswith("The mill")


def test_a_run_uses_the_shards_of_another(source: Folder, tmp_path: Path, world: World, packed: Path) -> None:
    folder = Folder(tmp_path, packed)
    shutil.rmtree(folder.output)
    shared = f"train.shards={source.output}"
    train(folder.config(*SHORT, shared), world)
    assert {path.name for path in folder.output.iterdir()} == {"training"}
    assert folder.metrics("train/", "data/") == source.metrics("train/", "data/")
    loaded = load(str(folder.output))
    assert loaded.tokenizer.sha256 == load(str(source.output)).tokenizer.sha256
    assert loaded.model.config.context == 32
    validate.compare(folder.config(*SHORT, shared), world)


@pytest.mark.parametrize("name", ["", "a/b", "..", "shards", "model", "-x"])
def test_names_of_runs_are_names_of_folders(name: str, folder: Continued) -> None:
    with pytest.raises(ConfigError, match=r"train: name = .*: must be the name of one folder|name"):
        folder.config(f"train.name='{name}'")


def test_fine_tuning_checkpoints_are_not_runs(source: Folder, tmp_path: Path) -> None:
    copy = tmp_path / "tuned"
    shutil.copytree(source.training, copy / "finetuning")
    path = copy / "finetuning" / "checkpoints" / "step-00000003" / "manifest.json"
    found = json.loads(path.read_text())
    del found["facts"]["train"]
    path.write_text(json.dumps(found))
    with pytest.raises(GristmillError, match=r"fine-tuning; name the model .*tuned/model"):
        load(str(copy / "finetuning"))
