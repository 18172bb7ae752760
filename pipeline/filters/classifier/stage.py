"""The classifier stage: labelled sets or two corpora in, a published and evaluated model out."""

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from core import manifest, storage
from core.config import ClassifierConfig, Config, require, resolved
from core.errors import ConfigError, InputError
from core.stage import Stage, check_output
from pipeline.filters.classifier import card
from pipeline.filters.classifier.evaluation import (
    DEFAULT_THRESHOLD,
    Evaluation,
    Metrics,
    Page,
    choose_threshold,
    evaluate,
)
from pipeline.filters.classifier.model import Classifier
from pipeline.filters.classifier.training import (
    MIN_LANGUAGE_TEXTS,
    Corpora,
    Example,
    balance,
    hold_out,
    read_set,
    shuffle,
    train,
)

STAGE = "classifier"
MODEL, QUALITY, CARD = "model.ftz", "quality.json", "card.md"

BOTH_CORPORA = "both corpora"
"""Name of the part with all held-out texts of the corpora."""
CARD_PAGES = 10
"""Number of highest-scoring and of lowest-scoring negative pages in the card."""


@dataclass(frozen=True, slots=True)
class TrainingSplit:
    """Training examples, balanced and shuffled, and held-out examples by part."""

    training: list[Example]
    held_out: dict[str, list[Example]]


def train_classifier(config: Config, corpora: Corpora | None = None) -> Evaluation:
    """Train, evaluate and publish a classifier under ``output.path``; return its evaluation.

    If the same classifier is already published, only its evaluation is read. Raises :class:`ConfigError` for
    missing keys, :class:`InputError` for input that cannot be read or trained on, and :class:`OutputError` if
    the folder holds anything else.
    """
    inputs, paths = _inputs(config, corpora)
    folder = storage.join(config.output.path, STAGE)
    settings = _settings(config)
    stage = Stage(
        STAGE,
        folder,
        manifest.fingerprint(STAGE, settings, inputs),
        {STAGE: settings},
        paths,
        overwrite=config.output.overwrite,
        done_message="",
    )
    with stage.lock() as done:
        if done:
            manifest.verify(folder, done)
            return _load(folder)
        split = split_examples(config.classifier, corpora.draw() if corpora else None)
        stage.begin()
        return _publish(stage, config.classifier, split, paths)


def _publish(
    stage: Stage, settings: ClassifierConfig, split: TrainingSplit, paths: Sequence[str]
) -> Evaluation:
    """Train, evaluate and write a classifier to the folder of a stage in progress; return the evaluation."""
    folder = stage.folder
    with tempfile.TemporaryDirectory() as working:
        model = train(split.training, settings, Path(working))
        evaluation = _evaluate(Classifier(model), split, settings)
        storage.upload(str(model), storage.join(folder, MODEL))
    counts = {"learned_from": len(split.training), "measured_on": sum(map(len, split.held_out.values()))}
    data = json.dumps(_nan_to_none(asdict(evaluation)), indent=2, ensure_ascii=False) + "\n"
    text = card.render(settings, paths, split.training, evaluation)
    files = [
        manifest.file_entry(folder, MODEL, rows=1),
        stage.write(QUALITY, data.encode(), rows=len(evaluation.parts)),
        stage.write(CARD, text.encode(), rows=text.count("\n")),
    ]
    stage.publish(counts, files, {"threshold": evaluation.threshold})
    return evaluation


def validate(config: Config, *, corpora: bool) -> None:
    """Check keys and local files. ``corpora``: whether two corpora are configured as well.

    Raises :class:`ConfigError` for missing keys and :class:`InputError` for a labelled set that is missing.
    """
    settings = config.classifier
    check_output(config)
    if not (corpora or settings.folder or settings.sets):
        raise ConfigError(
            "classifier.folder is empty: training needs labelled sets (classifier.folder, classifier.sets) "
            "or two corpora (classifier.positive.paths, classifier.negative.paths); set one of these pairs"
        )
    if settings.sets or not corpora:
        require(config, "classifier.folder", "classifier.sets")
    if not corpora and not any(labelled.learn for labelled in settings.sets):
        raise ConfigError("classifier.sets: none has learn = true; training needs at least one; add one")
    for labelled in settings.sets:
        storage.check_local(storage.join(settings.folder, labelled.path))


def _inputs(config: Config, corpora: Corpora | None) -> tuple[list[str], list[str]]:
    """Return identifiers of the input's contents for the fingerprint, and all input paths."""
    settings = config.classifier
    validate(config, corpora=corpora is not None)
    paths = [storage.join(settings.folder, labelled.path) for labelled in settings.sets]
    inputs = [":".join(map(str, storage.checksum(path))) for path in paths]
    if corpora:
        inputs += corpora.inputs
        paths += [*settings.positive.paths, *settings.negative.paths]
    return inputs, paths


def _settings(config: Config) -> dict[str, Any]:
    """Return the settings that the model depends on, without the locations of its inputs."""
    settings: dict[str, Any] = resolved(config, STAGE)[STAGE] | {"folder": ""}
    for name in ("positive", "negative"):
        settings[name].pop("paths")
    if config.classifier.positive.paths:
        settings |= resolved(config, "extraction", "dedup")
    return settings


def split_examples(settings: ClassifierConfig, drawn: Sequence[Example] | None) -> TrainingSplit:
    """Read the labelled sets, and split them and the sample drawn from the corpora, if any."""
    split = TrainingSplit([], {})
    for labelled in settings.sets:
        examples = read_set(settings.folder, labelled)
        if labelled.learn:
            rest, split.held_out[labelled.name] = hold_out(examples, settings.held_out_fraction)
            split.training.extend(balance(rest, settings.rows_per_class, settings.seed))
        else:
            split.held_out[labelled.name] = examples
    if drawn is not None:
        _split_corpora(drawn, settings, split)
    return TrainingSplit(shuffle(split.training, settings.seed), split.held_out)


def _split_corpora(drawn: Sequence[Example], settings: ClassifierConfig, split: TrainingSplit) -> None:
    """Add the corpora to ``split``, balanced within each language, so that the language predicts no class."""
    rest, held_out = hold_out(drawn, settings.held_out_fraction)
    by_language: dict[str, list[Example]] = defaultdict(list)
    for example in rest:
        by_language[example.language].append(example)
    class_sizes = {language: _smaller_class_size(examples) for language, examples in by_language.items()}
    languages = sorted(language for language, size in class_sizes.items() if size >= MIN_LANGUAGE_TEXTS)
    if not languages:
        raise InputError(
            "classifier.positive, classifier.negative: no language in which both have "
            f"{MIN_LANGUAGE_TEXTS} texts to train on, at most {max(class_sizes.values(), default=0)}; give "
            "more texts of one language in both"
        )
    for language in languages:
        examples = by_language[language]
        larger_class_size = len(examples) - class_sizes[language]
        split.training.extend(balance(examples, larger_class_size, settings.seed))
    for example in held_out:
        names = [BOTH_CORPORA, f"language {example.language}", f"source {example.source}"]
        for name in names if example.language in languages else ["other languages"]:
            split.held_out.setdefault(name, []).append(example)
    negative = sum(not example.positive for example in split.held_out.get(BOTH_CORPORA, ()))
    if negative * settings.keep_share < 1:
        raise InputError(
            f"classifier.keep_share = {settings.keep_share}: is less than one of the {negative} negative "
            "texts that are held out; give more in classifier.negative, or raise classifier.held_out_fraction"
        )


def _smaller_class_size(examples: Sequence[Example]) -> int:
    positive = sum(example.positive for example in examples)
    return min(positive, len(examples) - positive)


def _evaluate(classifier: Classifier, split: TrainingSplit, settings: ClassifierConfig) -> Evaluation:
    """Score the held-out texts, choose the threshold if there are corpora, and evaluate each part."""
    score = cache(classifier.score)  # A text may be in several parts.
    negative = [each for each in split.held_out.get(BOTH_CORPORA, []) if not each.positive]
    threshold = DEFAULT_THRESHOLD
    if BOTH_CORPORA in split.held_out:
        scores = np.array([score(example.text) for example in negative])
        threshold = choose_threshold(scores, settings.keep_share)
    parts = {
        name: evaluate(examples, np.array([score(example.text) for example in examples]), threshold)
        for name, examples in sorted(split.held_out.items())
    }
    pages = sorted((Page(score(each.text), each.language, each.url) for each in negative), reverse=True)
    if len(pages) > 2 * CARD_PAGES:
        pages = pages[:CARD_PAGES] + pages[-CARD_PAGES:]
    return Evaluation(threshold, parts, pages)


def _nan_to_none(value: Any) -> Any:
    """Replace NaN, which JSON lacks, in nested dictionaries."""
    if isinstance(value, dict):
        return {key: _nan_to_none(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _load(folder: str) -> Evaluation:
    saved: dict[str, Any] = json.loads(storage.read_bytes(storage.join(folder, QUALITY)))
    parts = {
        # JSON is untyped: mypy cannot know which values are counts.
        name: Metrics(**{key: math.nan if value is None else value for key, value in each.items()})  # type: ignore[arg-type]
        for name, each in saved["parts"].items()
    }
    return Evaluation(saved["threshold"], parts, [Page(**page) for page in saved["pages"]])
