"""The stage that makes a classifier: from labelled sets to a published model with its measurements."""

import json
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import manifest, storage
from pipeline.config import Classifier as Settings
from pipeline.config import Config, require, resolved
from pipeline.errors import ConfigError
from pipeline.filters.classifier import Classifier
from pipeline.filters.learning import Example, Quality, balance, hold_out, measure, read, shuffle, train

STAGE = "classifier"
MODEL, QUALITY = "model.ftz", "quality.json"


def learn(config: Config) -> dict[str, Quality]:
    """Train and publish under ``output.path``; what was measured, by set. Done already: only read it.

    Raises :class:`ConfigError` for missing keys, :class:`InputError` for unreadable sets and
    :class:`OutputError` where something else stands.
    """
    for key in ("classifier.folder", "classifier.sets", "output.path"):
        require(config, key)
    if not any(labelled.learn for labelled in config.classifier.sets):
        raise ConfigError("classifier.sets: none with learn = true; there must be one to learn from; add one")
    settings, folder = config.classifier, storage.join(config.output.path, STAGE)
    paths = [storage.join(settings.folder, labelled.path) for labelled in settings.sets]
    inputs = [":".join(map(str, storage.checksum(path))) for path in paths]
    resolved_settings = resolved(config, STAGE)[STAGE] | {"folder": ""}
    fingerprint = manifest.fingerprint(STAGE, resolved_settings, inputs)
    seen, unseen = _divide(settings)
    if done := manifest.begin(folder, STAGE, fingerprint, overwrite=config.output.overwrite):
        manifest.verify(folder, done)
        return _load(folder)
    with tempfile.TemporaryDirectory() as working:
        model = train(seen, settings, Path(working))
        classifier = Classifier(model)
        quality = {name: measure(classifier, examples) for name, examples in unseen.items()}
        storage.upload(str(model), storage.join(folder, MODEL))
    _save(folder, quality)
    files = [_entry(folder, MODEL, 1), _entry(folder, QUALITY, len(quality))]
    counts = {"learned_from": len(seen), "measured_on": sum(map(len, unseen.values()))}
    manifest.publish(
        folder,
        manifest.Manifest(
            stage=STAGE,
            fingerprint=fingerprint,
            config={STAGE: resolved_settings},
            inputs=paths,
            counts=counts,
            files=files,
        ),
    )
    return quality


def _divide(settings: Settings) -> tuple[list[Example], dict[str, list[Example]]]:
    """Balanced examples to learn from, in their order, and by set the examples to measure on."""
    seen, unseen = [], {}
    for labelled in settings.sets:
        examples = read(settings.folder, labelled)
        if labelled.learn:
            rest, unseen[labelled.name] = hold_out(examples, settings.held_out)
            seen += balance(rest, settings.rows_per_class, settings.seed)
        else:
            unseen[labelled.name] = examples
    return shuffle(seen, settings.seed), unseen


def _save(folder: str, quality: dict[str, Quality]) -> None:
    """NaN has no JSON: it is written as null."""
    plain = {
        name: {key: None if math.isnan(value) else value for key, value in asdict(each).items()}
        for name, each in quality.items()
    }
    data = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
    storage.write_atomic(storage.join(folder, QUALITY), data.encode())


def _load(folder: str) -> dict[str, Quality]:
    saved: dict[str, dict[str, Any]] = json.loads(storage.read_bytes(storage.join(folder, QUALITY)))
    return {
        name: Quality(**{key: math.nan if value is None else value for key, value in each.items()})  # type: ignore[arg-type]
        for name, each in saved.items()
    }


def _entry(folder: str, name: str, rows: int) -> manifest.FileEntry:
    size, sha256 = storage.checksum(storage.join(folder, name))
    return manifest.FileEntry(path=name, size=size, rows=rows, sha256=sha256)
