"""What cards tell, gathered from the manifests of a run, of a model, and from result files."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import manifest, storage
from core.errors import ManifestError, MismatchError
from core.manifest import Manifest
from evals import results
from evals.artefacts import Artefacts, Number, Source
from model import loading

CLEAN, TOKENIZER, PACK, TRAIN, TUNE = "clean", "tokenizer", "pack", "train", "finetune"
PLACES = {CLEAN: "", TOKENIZER: "tokenizer", PACK: "shards", TRAIN: "training", TUNE: "finetuning"}
"""The folder of each stage below a run's."""
NOT_STATED = "not stated"
CONFIG = "config.json"
Content = dict[str, Any]


class _Run:
    """A run's manifests as sources; those of stages that were not run are None."""

    def __init__(self, folder: str, artefacts: Artefacts) -> None:
        self.folder = folder
        self.artefacts = artefacts
        self.manifests: dict[str, Manifest] = {}

    def stage(self, stage: str) -> Source | None:
        """The manifest of a stage, if it is finished."""
        place = "/".join(filter(None, [self.folder.rstrip("/"), PLACES[stage]]))
        path = storage.join(place, manifest.NAME)
        if not storage.exists(path):
            return None
        self.manifests[stage] = manifest.read(place, stage)
        return self.artefacts.read(path, "/".join(filter(None, [PLACES[stage], manifest.NAME])))

    def belong(self, what: str, pinned: str, stage: str) -> None:
        """Refuse parts of different runs (:class:`MismatchError`)."""
        if stage in self.manifests and pinned != self._hash(stage):
            raise MismatchError(
                f"{self.folder}: its {what} was made from another {stage} ({pinned[:12]}…) than the one "
                f"there ({self._hash(stage)[:12]}…); run the later stages again"
            )

    def _hash(self, stage: str) -> str:
        found = self.manifests[stage]
        if stage == CLEAN:
            return str(found.facts["corpus"])
        return str(found.facts["sha256"]) if stage == TOKENIZER else found.sha256()


def has_corpus(run: str) -> bool:
    """Whether a run has finished cleaning."""
    return bool(run) and storage.exists(storage.join(run, manifest.NAME))


def subject(run: str, model_folder: str) -> str:
    """The model that the card is of: the one that is named, else the run's own, pre-trained or fine-tuned.

    Empty if the run has trained none.
    """
    if model_folder:
        return model_folder
    if storage.exists(storage.join(run, PLACES[TRAIN], manifest.NAME)):
        return run
    tuned = storage.join(run, "model")
    return tuned if storage.exists(storage.join(tuned, manifest.NAME)) else ""


def data(folder: str) -> Content:
    """The data card's content.

    Raises :class:`core.errors.ManifestError` without a finished corpus, and :class:`MismatchError` where
    tokenizer or shards are another corpus's.
    """
    artefacts = Artefacts()
    run = _Run(folder, artefacts)
    clean = run.stage(CLEAN)
    if not clean:
        raise ManifestError(f"{folder}: has no {manifest.NAME} of a corpus; run the clean stage first")
    tokenizer, shards = run.stage(TOKENIZER), run.stage(PACK)
    if shards:
        run.belong("shards", shards.facts.corpus, CLEAN)
        run.belong("shards", shards.facts.tokenizer_sha256, TOKENIZER)
    return {
        "artefacts": artefacts,
        "name": storage.name(storage.absolute(folder)),
        "clean": clean,
        "tokenizer": tokenizer,
        "shards": shards,
        "dropped": _dropped(clean),
        "licences": _licences(folder, run.manifests[CLEAN], artefacts),
    }


def model(folder: str, path: str, result_paths: Sequence[str]) -> Content:
    """The model card's content: of the model at ``path``, which may be the run in ``folder`` itself.

    Raises :class:`MismatchError` for results of another model, or a run that the model does not come from.
    """
    artefacts = Artefacts()
    run = _Run(folder, artefacts)
    found = loading.find(path)
    imported, shape = (None, None) if path == folder else _imported(path, artefacts)
    tuning, trained = _origin(run, path, found) if folder else (None, False)
    clean, shards, training = (run.stage(each) if trained else None for each in (CLEAN, PACK, TRAIN))
    if training:
        run.belong("model", training.facts.shards_sha256, PACK)
    validation = _validation(run) if training else None
    described, learned = imported or training, tuning or training
    measured = [_results(each, found.sha256, artefacts) for each in result_paths]
    return {
        "artefacts": artefacts,
        "name": _fact(imported, "name", found.name),
        "languages": clean.config.filters.languages if clean else _fact(imported, "languages", ()),
        "licence": _fact(imported, "license", ""),
        "architecture": _architecture(shape or (learned.facts.model if learned else None)),
        "parameters": described.counts.parameters if described else None,
        "shards": shards,
        "training": training,
        "tuning": tuning,
        "validation": validation,
        "imported": imported,
        "suites": [suite for result in measured for suite in result.suites],
    }


def _origin(run: _Run, path: str, found: loading.ModelSource) -> tuple[Source | None, bool]:
    """What the run tells of the model's fine-tuning, and whether its pre-training is the model's own.

    Raises :class:`MismatchError` if the run did neither.
    """
    if path == run.folder:
        return None, True
    told = manifest.read(path, loading.STAGE)
    tuning = None
    place = storage.join(run.folder, PLACES[TUNE])
    if storage.exists(storage.join(place, manifest.NAME)):
        tuning = run.stage(TUNE) if manifest.read(place, TUNE).fingerprint == told.fingerprint else None
    origins = {told.facts.get("origin_sha256"), told.facts.get("base_sha256")}
    trained = storage.exists(storage.join(run.folder, PLACES[TRAIN])) and (
        loading.find(run.folder).sha256 in origins
    )
    if not trained and not tuning:
        raise MismatchError(
            f"{path}: model {found.name} ({found.sha256[:12]}…) does not come from the run {run.folder}; "
            "name the run that it comes from, or none"
        )
    return tuning, trained


def _dropped(clean: Source) -> list[tuple[str, Number]]:
    """Records dropped by each reason, most first."""
    counts = ((key, number) for key, number in clean.counts.items() if key.startswith("dropped."))
    named = [(key.removeprefix("dropped."), number) for key, number in counts]
    return sorted(named, key=lambda each: (-each[1].value, each[0]))


def _licences(folder: str, found: Manifest, artefacts: Artefacts) -> list[tuple[str, str, Number]]:
    """Source, licence and number of documents, from the documents themselves.

    Raises :class:`MismatchError` if there are more or fewer than the manifest says were kept.
    """
    files = [entry for entry in found.files if entry.path.startswith("documents/")]
    counted: Counter[tuple[str, str]] = Counter()
    for entry in files:
        with storage.open_read(storage.join(folder, entry.path)) as stream:
            column = pq.ParquetFile(stream).read(columns=["license"]).column("license")
        source = unquote(entry.path.split("/")[1].removeprefix("source="))
        for each in pc.value_counts(column.combine_chunks()).to_pylist():
            counted[source, each["values"] or NOT_STATED] += each["counts"]
    if counted.total() != found.counts["kept"]:
        raise MismatchError(
            f"{folder}: {counted.total()} documents, but {manifest.NAME} says {found.counts['kept']} were "
            "kept; restore the folder or run the clean stage again"
        )
    digest = hashlib.sha256(manifest.canonical(sorted((entry.path, entry.sha256) for entry in files)))
    behind = artefacts.add(
        f"documents/ ({len(files)} files; of the list of their hashes)", digest.hexdigest()
    )
    return [(*key, Number(count, behind)) for key, count in sorted(counted.items())]


def _fact(imported: Source | None, name: str, default: Any) -> Any:
    """What a model folder's manifest tells of its origin."""
    return imported.facts[name] if imported and name in imported.facts else default


def _architecture(shape: Source | None) -> list[tuple[str, Number | str]]:
    """The model's shape by its configuration; lists and tables in it are left out."""
    parts = shape.items() if shape else ()
    said = ((key.replace("_", " "), _word(value)) for key, value in parts)
    return [(key, value) for key, value in said if value is not None]


def _word(value: Any) -> Number | str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, (Number, str)) else None


def _validation(run: _Run) -> Source | None:
    """What ``train.validate`` measured, if it was of these shards."""
    path = storage.join(run.folder, PLACES[TRAIN], "validation.json")
    if not storage.exists(path):
        return None
    found = run.artefacts.read(path, "training/validation.json")
    run.belong("validation.json", found.shards_sha256, PACK)
    return found


def _imported(folder: str, artefacts: Artefacts) -> tuple[Source, Source | None]:
    """The manifest of a model folder, and its ``config.json`` if it is a whole model."""
    found = manifest.read(folder, loading.STAGE)
    own = {entry.path: entry for entry in found.files}
    shown = storage.name(storage.absolute(folder))
    told = artefacts.read(storage.join(folder, manifest.NAME), f"{shown}/{manifest.NAME}")
    if CONFIG not in own:
        return told, None
    manifest.verify_file(folder, own[CONFIG])
    return told, artefacts.read(storage.join(folder, CONFIG), f"{shown}/{CONFIG}")


def _results(path: str, sha256: str, artefacts: Artefacts) -> Source:
    """One file of results, of the card's model."""
    said = results.read(path)
    if said["model"]["sha256"] != sha256:
        raise MismatchError(
            f"{path}: of model {said['model']['name']} ({said['model']['sha256'][:12]}…), not of the card's; "
            "give results of the model that the card is of"
        )
    path = path if path.endswith(".json") else storage.join(path, results.NAME)
    return artefacts.read(path, f"{results.NAME} ({', '.join(each['name'] for each in said['suites'])})")
