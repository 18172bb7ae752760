"""``torchrun -m train.finetune --config FILE.toml``: supervised fine-tuning on conversations.

Accepts every model that :func:`model.loading.load` does. Uses the loop of pre-training, with the same
sharding, checkpoints, exact resume and metrics, on packed examples; by default only assistant tokens are
learned. Writes::

    OUT/finetuning/   checkpoints, metrics.jsonl, tensorboard, manifest.json (last)
    OUT/model/        the model: a Hugging Face folder, or an adapter in peft format
"""

import datetime
import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core import config as configuration
from core import storage
from core.config import Config, FinetuneConfig
from core.errors import ConfigError, GristmillError, InputError, ModelError
from core.stage import Stage
from core.storage import locks
from core.storage.removal import remove_marked
from core.tokenizer import Tokenizer
from core.tokenizer.chat import ChatTemplate, Message
from model import export
from model.formats import huggingface, lora
from model.formats.checkpoint import find_latest, load_weights
from model.loading import STAGE as MODEL_STAGE
from model.loading import LoadedModel, load
from model.transformer import Transformer
from train import parallel, run_folder, training_run
from train.data.batch_sizes import BatchSizes
from train.data.examples import ExampleDataset, load_examples
from train.data.records import RecordReader
from train.identity import identity_settings
from train.initial_model import loaded_weights
from train.loop import Trainer
from train.parallel import World, enable_determinism, parameter_generator
from train.reporting import loggers
from train.samples import Prompts
from train.training_run import TrainingRun

STAGE = "finetune"
DEFAULT_LEARNING_RATE, DEFAULT_LORA_LEARNING_RATE = 3e-5, 3e-4
"""For models whose pre-training rate is unknown. SmolLM2's was 3e-3 (Allal et al. 2025)."""
EXAMPLE_DATE = datetime.date(2024, 7, 26)
"""Date in the examples of templates that write today's, so that they do not depend on the day of the run."""
PATH_KEYS = {"model", "files", "validation_files"}
"""Paths in ``[finetune]``; the run's identity has hashes of their content instead."""


def main() -> None:
    """Run the command line."""
    description = "Fine-tune a model on conversations; resumes from the last checkpoint."
    parallel.run(lambda: configuration.from_command_line(description, sys.argv[1:], validate), finetune)


def validate(config: Config) -> None:
    """Raise an error for settings that fine-tuning would reject; remote files are not checked."""
    settings = config.finetune
    configuration.require(config, "output.path", "finetune.model", "finetune.files")
    RecordReader(settings)
    loggers.check(STAGE, settings.loggers)
    storage.check_local(settings.model)
    for file in (*settings.files, *settings.validation_files):
        for path in [file] if isinstance(file, str) else file:
            storage.check_local(path)


def finetune(config: Config, world: World) -> None:
    """Fine-tune the model in ``config``, resuming from the last checkpoint if there is one.

    Each process holds the full base model in float32, in addition to its shard of the trained model.
    """
    training_run.check_processes(STAGE, config.finetune, world.size, "--nproc-per-node")
    configuration.require(config, "output.path", "finetune.model", "finetune.files")
    base = load(config.finetune.model)
    dataset = world.broadcast_from_rank_zero(lambda: _load_examples(config.finetune, base))
    run = prepare(config, base, dataset)
    model_folder = storage.join(config.output.path, "model")
    with ExitStack() as held:
        overwrite = config.output.overwrite
        done = world.broadcast_from_rank_zero(lambda: _begin(run, model_folder, overwrite, held))
        if not done:
            if world.is_rank_zero:
                print(f"finetune: {_summary(dataset)}", flush=True)
            enable_determinism()
            trainer = Trainer(run, world)
            if not trainer.train():
                return
        if world.is_rank_zero:
            _publish_model(run, config, base, model_folder)
            if not done:
                counts = {f"examples_{key.replace(' ', '_')}": value for key, value in dataset.counts.items()}
                run_folder.publish(run, trainer.tokens_seen, **counts)


def prepare(config: Config, base: LoadedModel, dataset: ExampleDataset) -> TrainingRun:
    """Define the fine-tuning of ``base`` on ``dataset``.

    Raises :class:`ConfigError` for sequences longer than the model's context, a learning rate that is too
    high, a warm-up longer than the run, and adapters that fit no layer; :class:`InputError` for a model that
    could not be exported.
    """
    settings, model_config = config.finetune, base.model.config
    try:
        huggingface.config_json(model_config)
    except ModelError as error:
        raise InputError(f"{settings.model}: {error}") from None
    if 0 < model_config.context < settings.sequence_length:
        raise ConfigError(
            f"finetune.sequence_length = {settings.sequence_length}: the context of {base.name} is "
            f"{model_config.context} tokens; set at most {model_config.context}"
        )
    rows = math.ceil(settings.epochs * _train_rows(dataset))
    resolved = settings.model_copy(
        update={
            "learning_rate": learning_rate(settings, base),
            "steps": settings.steps or BatchSizes.of(settings).step(rows - 1),
        }
    )

    if resolved.warmup_steps > resolved.steps:
        raise ConfigError(
            f"finetune.warmup_steps = {resolved.warmup_steps}: longer than the run of {resolved.steps} "
            "steps; lower it, or leave it out"
        )

    def adapter_weight(name: str, shape: torch.Size) -> Tensor:
        return lora.initial_weight(name, shape, parameter_generator(resolved.seed, name))

    settings_of_run = identity_settings(resolved)
    return TrainingRun(
        stage=STAGE,
        folder=storage.join(config.output.path, "finetuning"),
        config=resolved,
        manifest_config={STAGE: resolved.model_dump(mode="json")},
        inputs=[settings.model, *map(str, settings.files)],
        model_config=model_config,
        tokenizer=base.tokenizer,
        dataset=dataset,
        stream=training_run.build_stream(dataset, resolved),
        identity={
            "model": asdict(model_config),
            "tokenizer_sha256": base.tokenizer.sha256,
            "base_sha256": base.sha256,
            "examples_sha256": dataset.sha256,
            STAGE: {key: value for key, value in settings_of_run.items() if key not in PATH_KEYS},
        },
        initial_weight=loaded_weights(base.model.state_dict(), adapter_weight),
        adapt=_adapt_function(settings, base),
        prompts=_prompts(resolved, base),
    )


def learning_rate(settings: FinetuneConfig, base: LoadedModel) -> float:
    """Return the configured learning rate, by default a tenth of the rate that ``base`` was pre-trained with.

    Raises :class:`ConfigError` if it exceeds that tenth.
    """
    pretraining_rate = base.facts.get("learning_rate")
    if pretraining_rate is None:
        default = DEFAULT_LORA_LEARNING_RATE if settings.method == "lora" else DEFAULT_LEARNING_RATE
        return settings.learning_rate or default
    if settings.learning_rate > pretraining_rate / 10 * (1 + 1e-9):
        raise ConfigError(
            f"finetune.learning_rate = {settings.learning_rate}: {base.name} was pre-trained with "
            f"{pretraining_rate}, and fine-tuning with more than a tenth of that makes it forget; set at "
            f"most {pretraining_rate / 10:g}"
        )
    return settings.learning_rate or pretraining_rate / 10


def _load_examples(settings: FinetuneConfig, base: LoadedModel) -> ExampleDataset:
    if not base.tokenizer.chat_template:
        raise InputError(
            f"{settings.model}: its tokenizer has no chat template to tokenize conversations; add one "
            "(chat_template in tokenizer_config.json)"
        )
    chat = ChatTemplate(base.tokenizer, today=EXAMPLE_DATE)
    return load_examples(settings, chat, base.tokenizer.pad)


def _prompts(settings: FinetuneConfig, base: LoadedModel) -> Prompts:
    """Return the sample prompts as messages of the user; raises as :meth:`Prompts.of`."""
    chat = ChatTemplate(base.tokenizer, base.configured_stop, today=EXAMPLE_DATE)

    def encode(text: str) -> list[int]:
        return chat.prompt([Message("user", text)])

    return Prompts.of(STAGE, settings, base.model.config, encode, chat.stop)


def _adapt_function(settings: FinetuneConfig, base: LoadedModel) -> Callable[[Transformer], None]:
    """Return the function that prepares an uninitialized model for training.

    Raises :class:`ConfigError` for LoRA targets that the model does not have.
    """
    if settings.method == "full":
        return lambda _: None
    adapt = partial(
        lora.attach,
        rank=settings.lora.rank,
        alpha=settings.lora.alpha,
        dropout=settings.lora.dropout,
        targets=settings.lora.targets,
    )
    try:
        with torch.device("meta"):
            adapt(Transformer(base.model.config))
    except ModelError as error:
        raise ConfigError(f"finetune.lora.targets: {error}") from None
    return adapt


def _begin(run: TrainingRun, model_folder: str, overwrite: bool, held: ExitStack) -> bool:
    """Claim both output folders until ``held`` is closed, or neither; return True if training is complete."""
    if not overwrite:
        run_folder.check_continued(run)
    stage = _model_stage(run, model_folder, overwrite)
    published = held.enter_context(stage.lock())
    is_new = not published and not locks.contents(model_folder)
    if not published:
        stage.begin()
    try:
        return run_folder.begin(run, overwrite, held)
    except GristmillError:
        if is_new:  # the folder itself is removed with its lock
            remove_marked([storage.join(model_folder, each) for each in locks.contents(model_folder)])
        raise


def _model_stage(run: TrainingRun, folder: str, overwrite: bool = False) -> Stage:
    return Stage(
        MODEL_STAGE,
        folder,
        run.fingerprint,
        run.manifest_config,
        run.inputs,
        overwrite=overwrite,
        done_message="",
    )


def _publish_model(run: TrainingRun, config: Config, base: LoadedModel, folder: str) -> None:
    """Write the fine-tuned model to ``OUT/model``, which is claimed, unless it exists."""
    stage = _model_stage(run, folder)
    if stage.begin():
        return
    found = find_latest(storage.join(run.folder, "checkpoints"))
    assert found
    is_adapter = config.finetune.method == "lora"
    model = base.model if is_adapter else Transformer(run.model_config)
    run.adapt(model)
    load_weights(*found, model)
    path = storage.absolute(config.finetune.model)
    export.publish(
        stage,
        partial(_write_adapter, model, base.tokenizer, path)
        if is_adapter
        else partial(export.write, model, base.tokenizer, base.configured_stop),
        counts={"parameters": run.model_config.num_parameters},
        facts={
            **base.facts,
            "origin": base.name,
            "origin_sha256": base.sha256,
            "tokenizer_sha256": base.tokenizer.sha256,
            "examples_sha256": run.dataset.sha256,
            **({"base_sha256": base.sha256} if is_adapter else {}),
        },
    )


def _write_adapter(model: Transformer, tokenizer: Tokenizer, base: str, folder: Path) -> None:
    lora.write(str(folder), model, base)
    tokenizer.write(str(folder))


def _train_rows(dataset: ExampleDataset) -> int:
    """Return the number of training rows."""
    return sum(dataset.num_rows("train", source) for source in dataset.sources)


def _summary(dataset: ExampleDataset) -> str:
    """Return one line with the number of examples by outcome."""
    counts = " · ".join(f"{count:,} {name}" for name, count in dataset.counts.items())
    return f"examples: {counts} · {_train_rows(dataset):,} rows to train on"


if __name__ == "__main__":
    main()
