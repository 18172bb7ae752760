"""Loggers of metrics and samples: TensorBoard, and optionally wandb and MLflow.

Servers and accounts are set as these packages expect: ``WANDB_PROJECT``, ``WANDB_MODE``,
``MLFLOW_TRACKING_URI``, ``MLFLOW_EXPERIMENT_NAME`` and so on. A resumed run goes on under the same id.
"""

import hashlib
import importlib.util
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from core import storage
from core.errors import ConfigError
from train.samples import Sample
from train.training_run import TrainingRun

PACKAGES = {"wandb": "wandb", "mlflow": "mlflow-skinny"}
"""Package to install for each value of ``train.loggers``."""
PROJECT = "gristmill"
"""Project or experiment, if the environment names none."""


class Logger(Protocol):
    """A destination of metrics."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the finite metrics of a step."""

    def write_samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Add the samples of a validation."""

    def close(self) -> None:
        """Send what is left."""


def check(section: str, names: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if a package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f'{section}.loggers = ["{name}"]: {name} is not installed; pip install {PACKAGES[name]}, or '
                "leave it out"
            )


class TensorBoard:
    """Event files in ``folder``, in a subfolder with the name of the run, by which TensorBoard shows it."""

    def __init__(self, folder: Path, run_name: str, step: int) -> None:
        """Continue after ``step``; TensorBoard hides later values."""
        # Imported here because it takes seconds and only rank 0 needs it.
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self._writer = SummaryWriter(str(folder / run_name), purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the finite metrics of a step."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def write_samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Add the samples of a validation, as blocks of code: texts are no Markdown."""
        for number, sample in enumerate(samples, 1):
            lines = f"{sample.prompt}▸{sample.text}".splitlines()
            self._writer.add_text(f"sample/{number}", "\n".join(f"    {line}" for line in lines), step)

    def upload(self, folder: str) -> None:
        """Copy all files to a remote ``folder``."""
        self._writer.flush()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                storage.upload(str(path), storage.join(folder, path.relative_to(self.folder).as_posix()))

    def flush(self) -> None:
        """Write what is buffered."""
        self._writer.flush()

    def close(self) -> None:
        """Send what is left."""
        self._writer.close()


class Wandb:
    """A run of Weights & Biases."""

    def __init__(self, run: TrainingRun) -> None:
        import wandb

        self._wandb = wandb
        try:
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.name,
                id=_id(run),
                resume="allow",
                config=dict(run.manifest_config),
                settings=wandb.Settings(console="off"),
            )
        except wandb.errors.Error as error:
            raise _refused(run, "wandb", error) from None
        # An axis of our own: that of wandb never goes back, as steps do after a resume.
        self._run.define_metric("*", step_metric="step")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the finite metrics of a step."""
        self._run.log({"step": step, **values})

    def write_samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Add the samples of a validation."""
        table = self._wandb.Table(columns=list(Sample._fields), data=[list(sample) for sample in samples])
        self._run.log({"step": step, "samples": table})

    def close(self) -> None:
        """Send what is left."""
        self._run.finish()


class Mlflow:
    """A run of MLflow."""

    def __init__(self, run: TrainingRun) -> None:
        import mlflow

        self._mlflow = mlflow
        identifier = _id(run)
        try:
            experiment = mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT))
            found = mlflow.MlflowClient().search_runs(
                [experiment.experiment_id], filter_string=f"tags.{PROJECT} = '{identifier}'"
            )
            earlier = found[0].info.run_id if found else None
            mlflow.start_run(run_id=earlier, run_name=run.name, tags={PROJECT: identifier})
            if not earlier:  # parameters of a run cannot change
                mlflow.log_params({f"{run.stage}.{key}": value for key, value in run.config})
        except mlflow.exceptions.MlflowException as error:
            raise _refused(run, "mlflow", error) from None

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add the finite metrics of a step."""
        named = {_mlflow_name(name): value for name, value in values.items()}
        self._mlflow.log_metrics(named, step=step, synchronous=False)

    def write_samples(self, step: int, samples: Sequence[Sample]) -> None:
        """Add the samples of a validation."""
        self._mlflow.log_dict({"samples": [sample._asdict() for sample in samples]}, f"samples-{step}.json")

    def close(self) -> None:
        """Send what is left."""
        self._mlflow.flush_async_logging()
        self._mlflow.end_run()


def _mlflow_name(name: str) -> str:
    """Return ``train/loss.books`` for ``train/loss/books``.

    Names are paths in some of MLflow's stores, and one path cannot be below another.
    """
    group, _, rest = name.partition("/")
    allowed = re.sub(r"[^\w.: -]", ".", rest)
    return f"{group}/{allowed}"


def _id(run: TrainingRun) -> str:
    """Return an id that other runs with the same settings, in other folders, do not have."""
    return hashlib.sha256(f"{run.attempt} {storage.absolute(run.folder)}".encode()).hexdigest()[:32]


def _refused(run: TrainingRun, name: str, error: Exception) -> ConfigError:
    cause = str(error).partition("\n")[0].rstrip(".")
    return ConfigError(f"{run.stage}.loggers: {name} does not start: {cause}; set it up, or leave it out")


OPTIONAL: Mapping[str, Callable[[TrainingRun], Logger]] = {"wandb": Wandb, "mlflow": Mlflow}
"""Loggers by their name in ``train.loggers``."""
