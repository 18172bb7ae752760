"""Files that a run writes for its users: metrics, samples, page, trace, summary; and loggers."""

import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.config import TrainConfig
from core.errors import ConfigError
from tests.train.folder import Folder
from train.data.batch_sizes import BatchSizes
from train.loop import train
from train.page import main
from train.parallel import World
from train.reporting import loggers
from train.reporting.reporter import Reporter
from train.samples import Sample

PROFILED = "train.profile_steps=[5,6]"


class FakeWandb(SimpleNamespace):
    """Records the calls that the package gets."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        super().__init__(
            init=self._init,
            Settings=lambda **options: options,
            Table=lambda columns, data: [dict(zip(columns, row, strict=True)) for row in data],
            errors=SimpleNamespace(Error=RuntimeError),
        )

    def _init(self, **options: Any) -> SimpleNamespace:
        self.calls.append(("init", options))
        return SimpleNamespace(
            define_metric=lambda name, step_metric: self.calls.append(("axis", step_metric)),
            log=lambda values: self.calls.append(("log", values)),
            finish=lambda: self.calls.append(("finish", None)),
        )

    def of(self, name: str) -> list[Any]:
        return [value for called, value in self.calls if called == name]


@pytest.fixture(scope="module")
def wandb() -> FakeWandb:
    return FakeWandb()


@pytest.fixture(scope="module")
def watched(packed: Path, tmp_path_factory: pytest.TempPathFactory, world: World, wandb: FakeWandb) -> Folder:
    """Train with one process and everything that can be asked for, interrupted after step 6."""
    made = Folder(tmp_path_factory.mktemp("watched"), packed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "wandb", wandb)
        for steps in (6, 10):
            train(made.config(f"train.steps={steps}", PROFILED, 'train.loggers=["wandb"]'), world)
    return made


def test_memory_and_time_left_are_metrics(watched: Folder) -> None:
    lines = watched.metrics("perf/")
    assert all(0.01 < line["perf/memory_gib"] < 1000 for line in lines)
    assert all(line["perf/time_left"] > 0 for line in lines[6:9])
    assert lines[9]["perf/time_left"] == 0


def test_samples_of_each_validation_are_kept_once(watched: Folder) -> None:
    assert [sample["step"] for sample in watched.samples()] == [4, 4, 6, 6, 8, 8, 10, 10]


def test_samples_longer_than_the_context_are_refused(packed: Path, tmp_path: Path, world: World) -> None:
    made = Folder(tmp_path, packed)
    config = made.config("model.architecture=gpt2", "model.num_kv_heads=4", "train.sample_tokens=32")
    with pytest.raises(ConfigError, match=r"sample_tokens = 32: prompt 1 .* context of the model is 32"):
        train(config, world)
    assert not made.training.exists()


def test_tensorboard_shows_the_run_by_its_name(watched: Folder) -> None:
    (folder,) = (watched.training / "tensorboard").iterdir()
    assert folder.name == "out-training"
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == list(range(1, 11))
    texts = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("sample/2/text_summary")]
    assert texts[-1].strip() == f"slow▸{watched.samples()[-1]['text']}".strip()


def test_wandb_gets_floats_and_samples_under_one_id(watched: Folder, wandb: FakeWandb) -> None:
    first, second = wandb.of("init")
    assert first["id"] == second["id"]
    assert first["name"] == "out-training"
    assert set(wandb.of("axis")) == {"step"}
    assert len(wandb.of("finish")) == 2
    logged = [values for values in wandb.of("log") if "train/loss" in values]
    assert [values["step"] for values in logged] == list(range(1, 11))
    assert {type(value) for values in logged for name, value in values.items() if name != "step"} == {float}
    last = [values["samples"] for values in wandb.of("log") if "samples" in values][-1]
    assert [{**sample, "step": 10} for sample in last] == watched.samples()[-2:]


def test_a_logger_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r'train.loggers = \["mlflow"\]: .* pip install mlflow-skinny'):
        loggers.check("train", ["mlflow"])
    loggers.check("train", [])


def test_trace_has_the_steps_asked_for(watched: Folder) -> None:
    (path,) = (watched.training / "profile").iterdir()
    assert path.name == "steps-5-6.json.gz"
    names = [event.get("name") for event in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]]
    assert names.count("Optimizer.step#AdamW.step") == 2
    assert "aten::mm" in names


def test_page_is_the_same_from_the_files(watched: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    path = watched.training / "training.html"
    live = path.read_bytes()
    path.unlink()
    main(watched.arguments)
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_bytes() == live
    text = live.decode()
    shown = ("Training loss", "Perplexity", "Data wait", "wikipedia", "slow", "parameters", "spike_sigmas")
    assert [each for each in shown if each not in text] == []


def test_files_are_uploaded_to_remote_folders() -> None:
    folder = "memory://reporter-test/training"
    run: Any = SimpleNamespace(stage="train", name="x-train", folder=folder, batch_sizes=BatchSizes(64))
    for step in (0, 2):
        run.config = TrainConfig(steps=4, profile_steps=(step + 1, step + 1 if step < 2 else 99))
        reporter = Reporter(run, torch.device("cpu"), step)
        for later in (step + 1, step + 2):
            reporter.begin(later)
            reporter.write(later, {"val/loss": 1.0, "perf/tok_per_sec": 1.0, "samples": [Sample("a", "b")]})
        reporter.publish()
        reporter.close()
    found = fsspec.filesystem("memory").find("/reporter-test/training")
    names = [path.removeprefix("/reporter-test/training/") for path in found]
    assert [name for name in names if not name.startswith("tensorboard/x-train/")] == [
        *("metrics.jsonl", "profile/steps-1-1.json.gz", "profile/steps-3-4.json.gz", "samples.jsonl"),
        "training.html",
    ]
    assert len(names) == 7
    read = fsspec.filesystem("memory").cat_file("/reporter-test/training/samples.jsonl").splitlines()
    assert [json.loads(line)["step"] for line in read] == [1, 2, 3, 4]


def test_summary(packed: Path, tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    made = Folder(tmp_path, packed)
    train(made.config("train.steps=1", "train.warmup_steps=0"), world)
    lines = capsys.readouterr().out.splitlines()
    model = made.training / "manifest.json"
    parameters = json.loads(model.read_text())["counts"]["parameters"]
    assert lines[1:5] == [
        f"train: model      {parameters:,} parameters",
        f"train: data       1 steps of 256 tokens: 256, {256 / parameters:.1f} per parameter",
        "train: epochs     0.02 of books: 4 rows drawn, 253 available",
        "train: epochs     0.03 of wikipedia: 4 rows drawn, 123 available",
    ]
    assert lines[5] == "train: processes  1 process on CPU, float32"
    assert lines[6].startswith("train: memory     about 0.00")
    written = json.loads((made.training / "summary.json").read_text())
    assert written["name"] == "out-training"
    assert [f"train: {label:10} {text}" for label, text in written["summary"]] == lines[1:7]
