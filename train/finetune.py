"""``torchrun -m train.finetune --config FILE.toml``: supervised fine-tuning on conversations.

The model comes from wherever :func:`model.loading.load` finds one. Training is the pre-trainer's own loop:
the same sharding, checkpoints, exact resume and metrics, over rows packed from the examples, of which only
the assistant's tokens count. It leaves::

    OUT/finetuning/   checkpoints, metrics.jsonl, tensorboard, manifest.json (last)
    OUT/model/        the model: a Hugging Face folder, or an adapter in peft's format
"""

import math
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from core import config as configuration
from core import storage
from core.config import Config, FinetuneConfig
from core.errors import ConfigError, InputError, ModelError, OutputError
from core.manifest import Stage
from core.tokenizer import Tokenizer
from model import export
from model.formats import huggingface, lora
from model.formats.checkpoint import find_latest, load_weights
from model.loading import STAGE as MODEL
from model.loading import LoadedModel, load
from model.transformer import Transformer
from train import examples, parallel, setup
from train.examples import Examples
from train.loop import Trainer
from train.parallel import World, make_repeatable, random_stream
from train.setup import Setup

STAGE = "finetune"
IMPORTED_RATE, IMPORTED_ADAPTER_RATE = 3e-5, 3e-4
"""Learning rates for models whose own is not known. SmolLM2's was 3e-3 (Allal et al. 2025)."""
PATHS = {"model", "files", "validation_files"}
"""Settings that say where things lie. What lies there is pinned instead."""


def main() -> None:
    """The command line."""
    description = "Fine-tune a model on conversations; resumes where it was stopped."
    parallel.run(lambda: configuration.from_command_line(description, sys.argv[1:]), finetune)


def finetune(config: Config, world: World) -> None:
    """Fine-tune as ``config`` says; resume, if an earlier attempt left a checkpoint.

    Every process holds the base model whole, in float32, besides its own part of the one that is trained.
    """
    setup.check_world(STAGE, config.finetune, world)
    for key in ("output.path", "finetune.model", "finetune.files"):
        configuration.require(config, key)
    base = load(config.finetune.model)
    rows = world.from_leader(lambda: _examples(config.finetune, base))
    run = prepare(config, base, rows)
    model_folder = storage.join(config.output.path, "model")
    done = world.from_leader(lambda: _claim(run, model_folder, config.output.overwrite))
    if not done:
        if world.leads:
            print(f"finetune: {_told(rows)}", flush=True)
        make_repeatable()
        Trainer(run, world).run()
    if world.leads:
        _publish_model(run, config, base, model_folder)
        if not done:
            setup.publish(
                run, **{f"examples_{name.replace(' ', '_')}": count for name, count in rows.counts.items()}
            )


def prepare(config: Config, base: LoadedModel, rows: Examples) -> Setup:
    """All that fine-tuning ``base`` on ``rows`` needs.

    Raises :class:`ConfigError` for rows that are too long for the model, a learning rate that is too high,
    and adapters that fit no layer; :class:`InputError` for a model that could not be written afterwards.
    """
    settings, shape = config.finetune, base.model.config
    try:
        huggingface.config_json(shape)
    except ModelError as error:
        raise InputError(f"{settings.model}: {error}") from None
    state: dict[str, Tensor] = base.model.state_dict()
    if 0 < shape.context < settings.sequence_length:
        raise ConfigError(
            f"finetune.sequence_length = {settings.sequence_length}: {base.name} is made for {shape.context} "
            f"tokens at most; set at most {shape.context}"
        )
    sequences = sum(rows.rows("train", source) for source in rows.sources)
    train = settings.model_copy(
        update={
            "learning_rate": learning_rate(settings, base),
            "steps": settings.steps or math.ceil(settings.epochs * sequences / settings.batch_size),
        }
    )

    def weights(name: str, size: torch.Size) -> Tensor:
        if name in state:
            return state[name]
        return lora.initial_weight(name, size, random_stream(train.seed, name))

    return Setup(
        stage=STAGE,
        folder=storage.join(config.output.path, "finetuning"),
        train=train,
        config={STAGE: train.model_dump(mode="json")},
        inputs=[settings.model, *map(str, settings.files)],
        model=shape,
        tokenizer=base.tokenizer,
        rows=rows,
        stream=setup.stream(rows, train),
        pins={
            "model": asdict(shape),
            "tokenizer_sha256": base.tokenizer.sha256,
            "base_sha256": base.sha256,
            "examples_sha256": rows.sha256,
            STAGE: {key: value for key, value in setup.pinned(train).items() if key not in PATHS},
        },
        weights=weights,
        adapt=_adapter(settings, base),
    )


def learning_rate(settings: FinetuneConfig, base: LoadedModel) -> float:
    """The rate that is asked for, or a tenth of the one that ``base`` was pre-trained with.

    Raises :class:`ConfigError` for one that is higher than that, where it is known.
    """
    own = base.facts.get("learning_rate")
    if own is None:
        return settings.learning_rate or (
            IMPORTED_ADAPTER_RATE if settings.method == "lora" else IMPORTED_RATE
        )
    if settings.learning_rate > own / 10 * (1 + 1e-9):
        raise ConfigError(
            f"finetune.learning_rate = {settings.learning_rate}: {base.name} was pre-trained with {own}, and "
            f"fine-tuning with more than a tenth of that makes it forget; set at most {own / 10:g}"
        )
    return settings.learning_rate or own / 10


def _examples(settings: FinetuneConfig, base: LoadedModel) -> Examples:
    if not base.tokenizer.chat_template:
        raise InputError(
            f"{settings.model}: its tokenizer has no chat template, by which conversations become tokens; "
            "give it one (chat_template in tokenizer_config.json)"
        )
    return examples.collect(settings, base.chat, base.tokenizer.pad)


def _adapter(settings: FinetuneConfig, base: LoadedModel) -> Callable[[Transformer], None]:
    """What makes of a model the one that is trained. Raises :class:`ConfigError` for targets it has not."""
    if settings.method == "full":
        return lambda _: None
    chosen = settings.lora
    adapt = partial(
        lora.attach,
        rank=chosen.rank,
        alpha=chosen.alpha,
        dropout=chosen.dropout,
        targets=chosen.targets,
    )
    try:
        with torch.device("meta"):
            adapt(Transformer(base.model.config))
    except ModelError as error:
        raise ConfigError(f"finetune.lora.targets: {error}") from None
    return adapt


def _claim(run: Setup, model_folder: str, overwrite: bool) -> bool:
    """Take both folders, or neither; whether the training is complete."""
    stood = storage.exists(model_folder)
    _model_stage(run, model_folder, overwrite).begin()
    try:
        return setup.claim(run, overwrite)
    except OutputError:
        if not stood:
            storage.remove(model_folder)
        raise


def _model_stage(run: Setup, folder: str, overwrite: bool = False) -> Stage:
    return Stage(MODEL, folder, run.fingerprint, run.config, run.inputs, overwrite=overwrite, done_message="")


def _publish_model(run: Setup, config: Config, base: LoadedModel, folder: str) -> None:
    """Write what was learned to ``OUT/model``, unless it is there."""
    stage = _model_stage(run, folder)
    if stage.begin():
        return
    found = find_latest(storage.join(run.folder, "checkpoints"))
    assert found
    adapted = config.finetune.method == "lora"
    model = base.model if adapted else Transformer(run.model)
    run.adapt(model)
    load_weights(*found, model)
    path = storage.absolute(config.finetune.model)
    export.publish(
        stage,
        partial(_write_adapter, model, base.tokenizer, path)
        if adapted
        else partial(export.write, model, base.tokenizer),
        counts={"parameters": run.model.num_parameters},
        facts={
            **base.facts,
            "origin": base.name,
            "origin_sha256": base.sha256,
            "tokenizer_sha256": base.tokenizer.sha256,
            "examples_sha256": run.rows.sha256,
            **({"base_sha256": base.sha256} if adapted else {}),
        },
    )


def _write_adapter(model: Transformer, tokenizer: Tokenizer, base: str, folder: Path) -> None:
    lora.write(str(folder), model, base)
    tokenizer.write(str(folder))


def _told(rows: Examples) -> str:
    """What became of the examples, for people."""
    counts = " · ".join(f"{count:,} {name}" for name, count in rows.counts.items())
    packed = sum(rows.rows("train", source) for source in rows.sources)
    return f"examples: {counts} · {packed:,} rows to train on"


if __name__ == "__main__":
    main()
