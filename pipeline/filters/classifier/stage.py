"""The stage that makes a classifier: from labelled sets or two corpora to a published model, measured."""

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
from pipeline.filters.classifier import card
from pipeline.filters.classifier.evaluation import THRESHOLD, Outcome, Page, Quality, measure, pick_threshold
from pipeline.filters.classifier.model import Classifier
from pipeline.filters.classifier.training import (
    FEWEST,
    Corpora,
    Example,
    balance,
    hold_out,
    read,
    shuffle,
    train,
)

STAGE = "classifier"
MODEL, QUALITY, CARD = "model.ftz", "quality.json", "card.md"

EVERYTHING = "both corpora"
"""The part that stands for all that was held out of them."""
PAGES = 10
"""Negative texts that are named, with the highest and with the lowest scores."""


@dataclass(frozen=True, slots=True)
class Division:
    """Who is learned from, in that order and each class as often, and who is measured on, by part."""

    seen: list[Example]
    unseen: dict[str, list[Example]]


def learn(config: Config, corpora: Corpora | None = None) -> Outcome:
    """Train and publish under ``output.path``. Done already: only read what was measured.

    Raises :class:`ConfigError` for missing keys, :class:`InputError` for what cannot be read or learned from
    and :class:`OutputError` where something else stands.
    """
    inputs, paths = _inputs(config, corpora)
    folder = storage.join(config.output.path, STAGE)
    settings = _settings(config)
    fingerprint = manifest.fingerprint(STAGE, settings, inputs)
    if _is_done(folder, fingerprint, overwrite=config.output.overwrite):
        return _load(folder)
    division = divide(config.classifier, corpora.draw() if corpora else None)
    manifest.begin(folder, STAGE, fingerprint, overwrite=config.output.overwrite)
    with tempfile.TemporaryDirectory() as working:
        model = train(division.seen, config.classifier, Path(working))
        outcome = _measure(Classifier(model), division, config.classifier)
        storage.upload(str(model), storage.join(folder, MODEL))
    counts = {"learned_from": len(division.seen), "measured_on": sum(map(len, division.unseen.values()))}
    data = json.dumps(_plain(asdict(outcome)), indent=2, ensure_ascii=False) + "\n"
    storage.write_atomic(storage.join(folder, QUALITY), data.encode())
    text = card.render(config.classifier, paths, division.seen, outcome)
    storage.write_atomic(storage.join(folder, CARD), text.encode())
    rows = {MODEL: 1, QUALITY: len(outcome.parts), CARD: text.count("\n")}
    manifest.publish(
        folder,
        manifest.Manifest(
            stage=STAGE,
            fingerprint=fingerprint,
            config={STAGE: settings},
            inputs=paths,
            counts=counts,
            files=[manifest.file_entry(folder, name, count) for name, count in rows.items()],
            facts={"threshold": outcome.threshold},
        ),
    )
    return outcome


def _inputs(config: Config, corpora: Corpora | None) -> tuple[list[str], list[str]]:
    """What tells whether the input is still the same, and the paths of all of it."""
    settings = config.classifier
    require(config, "output.path")
    if settings.sets or not corpora:
        for key in ("classifier.folder", "classifier.sets"):
            require(config, key)
    if not corpora and not any(labelled.learn for labelled in settings.sets):
        raise ConfigError("classifier.sets: none with learn = true; there must be one to learn from; add one")
    paths = [storage.join(settings.folder, labelled.path) for labelled in settings.sets]
    inputs = [":".join(map(str, storage.checksum(path))) for path in paths]
    if corpora:
        inputs += corpora.inputs
        paths += [*settings.positive.paths, *settings.negative.paths]
    return inputs, paths


def _settings(config: Config) -> dict[str, Any]:
    """The part of the configuration that the model depends on, wherever its inputs lie."""
    settings: dict[str, Any] = resolved(config, STAGE)[STAGE] | {"folder": ""}
    for name in ("positive", "negative"):
        settings[name].pop("paths")
    if config.classifier.positive.paths:
        settings |= resolved(config, "extraction", "dedup")
    return settings


def _is_done(folder: str, fingerprint: str, *, overwrite: bool) -> bool:
    """Whether this very model stands there, unaltered. Another one is refused before any time is spent."""
    if not storage.exists(storage.join(folder, manifest.NAME)):
        return False
    found = manifest.read(folder, STAGE)
    if overwrite and found.fingerprint != fingerprint:
        return False
    manifest.begin(folder, STAGE, fingerprint)
    manifest.verify(folder, found)
    return True


def divide(settings: ClassifierConfig, drawn: Sequence[Example] | None) -> Division:
    """Sets and, if there are any, what was drawn from corpora: held out and balanced."""
    division = Division([], {})
    for labelled in settings.sets:
        examples = read(settings.folder, labelled)
        if labelled.learn:
            rest, division.unseen[labelled.name] = hold_out(examples, settings.held_out_fraction)
            division.seen.extend(balance(rest, settings.rows_per_class, settings.seed))
        else:
            division.unseen[labelled.name] = examples
    if drawn is not None:
        _divide_corpora(drawn, settings, division)
    return Division(shuffle(division.seen, settings.seed), division.unseen)


def _divide_corpora(drawn: Sequence[Example], settings: ClassifierConfig, division: Division) -> None:
    """Balance the classes within each language, so that no language is a sign of either."""
    rest, held_out = hold_out(drawn, settings.held_out_fraction)
    by_language: dict[str, list[Example]] = defaultdict(list)
    for example in rest:
        by_language[example.language].append(example)
    fewest = {language: _rarer(examples) for language, examples in by_language.items()}
    learned = sorted(language for language, count in fewest.items() if count >= FEWEST)
    if not learned:
        raise InputError(
            f"classifier.positive, classifier.negative: no language in which both have {FEWEST} texts to "
            f"learn from, at most {max(fewest.values(), default=0)}; give more texts of one language in both"
        )
    for language in learned:
        examples = by_language[language]
        division.seen.extend(balance(examples, len(examples) - fewest[language], settings.seed))
    for example in held_out:
        names = [EVERYTHING, f"language {example.language}", f"source {example.source}"]
        for name in names if example.language in learned else ["other languages"]:
            division.unseen.setdefault(name, []).append(example)
    negative = sum(not example.positive for example in division.unseen.get(EVERYTHING, ()))
    if negative * settings.keep_share < 1:
        raise InputError(
            f"classifier.keep_share = {settings.keep_share}: is less than one of the {negative} negative "
            "texts that are held out; give more in classifier.negative, or lower classifier.held_out_fraction"
        )


def _rarer(examples: Sequence[Example]) -> int:
    """How many there are of the class that there are fewer of."""
    positive = sum(example.positive for example in examples)
    return min(positive, len(examples) - positive)


def _measure(classifier: Classifier, division: Division, settings: ClassifierConfig) -> Outcome:
    """Score what was held out, pick the threshold where there are corpora, and count."""
    score = cache(classifier.score)  # a text is in several parts
    negative = [each for each in division.unseen.get(EVERYTHING, []) if not each.positive]
    scores = np.array([score(example.text) for example in negative])
    threshold = pick_threshold(scores, settings.keep_share) if EVERYTHING in division.unseen else THRESHOLD
    parts = {
        name: measure(examples, np.array([score(example.text) for example in examples]), threshold)
        for name, examples in sorted(division.unseen.items())
    }
    pages = sorted((Page(score(each.text), each.language, each.url) for each in negative), reverse=True)
    return Outcome(threshold, parts, pages if len(pages) <= 2 * PAGES else pages[:PAGES] + pages[-PAGES:])


def _plain(value: Any) -> Any:
    """NaN has no JSON: it is written as null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _load(folder: str) -> Outcome:
    saved: dict[str, Any] = json.loads(storage.read_bytes(storage.join(folder, QUALITY)))
    parts = {
        name: Quality(**{key: math.nan if value is None else value for key, value in each.items()})  # type: ignore[arg-type]
        for name, each in saved["parts"].items()
    }
    return Outcome(saved["threshold"], parts, [Page(**page) for page in saved["pages"]])
