"""Collect the content of cards from the manifests of a run and of a model, and from results files."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow.parquet as pq

from core import manifest, storage
from core.errors import InputError, ManifestError, MismatchError
from core.manifest import Manifest
from evals import results
from evals.card.provenance import JsonNode, Number, SourceFiles
from model import loading
from model.run_folder import find_run, named_runs, parent

CORPUS, TOKENIZER, PACK, TRAIN, TUNE = "corpus", "tokenizer", "pack", "train", "finetune"
STAGE_FOLDERS = {CORPUS: "", TOKENIZER: "tokenizer", PACK: "shards", TRAIN: "training", TUNE: "finetuning"}
"""Folder of each stage, relative to the run's."""
NOT_STATED = "not stated"
CONFIG = "config.json"
Content = dict[str, Any]
"""Variables of a template."""


class _Run:
    """The manifests of a run's stages."""

    def __init__(self, folder: str, sources: SourceFiles, training: str = "") -> None:
        self.folder = folder
        self.sources = sources
        self.training = training or storage.join(folder, STAGE_FOLDERS[TRAIN])
        """Folder of the pre-training that the model comes from."""
        self.manifests: dict[str, Manifest] = {}

    def stage(self, stage: str) -> JsonNode | None:
        """Read the manifest of a stage; None if the stage is not finished."""
        folder = self.stage_folder(stage)
        path = storage.join(folder, manifest.NAME)
        if not storage.exists(path):
            return None
        names = manifest.CORPUS_STAGES if stage == CORPUS else (stage,)
        self.manifests[stage] = manifest.read(folder, *names)
        name = storage.name(folder) if stage == TRAIN else STAGE_FOLDERS[stage]
        return self.sources.read_json(path, "/".join(filter(None, [name, manifest.NAME])))

    def stage_folder(self, stage: str) -> str:
        """Return the folder of a stage."""
        if stage == TRAIN:
            return self.training
        return storage.join(self.folder, STAGE_FOLDERS[stage]) if STAGE_FOLDERS[stage] else self.folder

    def check_made_from(self, output: str, pinned: str, stage: str) -> None:
        """Raise :class:`MismatchError` if ``output`` pins another hash of ``stage`` than the run's."""
        if stage in self.manifests and pinned != self._hash(stage):
            raise MismatchError(
                f"{self.folder}: {output} made from {stage} {pinned[:12]}…, but the run has {stage} "
                f"{self._hash(stage)[:12]}…; run the later stages again"
            )

    def _hash(self, stage: str) -> str:
        found = self.manifests[stage]
        if stage == CORPUS:
            return str(found.facts["corpus"])
        return str(found.facts["sha256"]) if stage == TOKENIZER else found.sha256()


def has_corpus(run: str) -> bool:
    """True if a run has a manifest, which is that of its corpus."""
    return bool(run) and storage.exists(storage.join(run, manifest.NAME))


def find_model(run: str, model: str) -> str:
    """Return the path of the model to describe: ``model`` if given, else the run's own; empty if none."""
    if model:
        return model
    if storage.exists(storage.join(run, STAGE_FOLDERS[TRAIN], manifest.NAME)):
        return run
    tuned = storage.join(run, "model")
    return tuned if storage.exists(storage.join(tuned, manifest.NAME)) else ""


def data_card(folder: str) -> Content:
    """Return the content of a run's data card.

    Raises :class:`core.errors.ManifestError` if the run has no finished corpus, :class:`InputError` if it
    has only the list of duplicates, and :class:`MismatchError` if its tokenizer or shards were made from
    another corpus.
    """
    sources = SourceFiles()
    run = _Run(folder, sources)
    corpus = run.stage(CORPUS)
    if not corpus:
        raise ManifestError(f"{folder}: has no {manifest.NAME} of a corpus; run clean or dedup first")
    if run.manifests[CORPUS].config["dedup"].get("output") == "duplicates":
        raise InputError(
            f"{folder}: has no documents (dedup.output = duplicates); name a run that wrote documents"
        )
    tokenizer, shards = run.stage(TOKENIZER), run.stage(PACK)
    if shards:
        run.check_made_from("shards", shards.facts.corpus, CORPUS)
        run.check_made_from("shards", shards.facts.tokenizer_sha256, TOKENIZER)
    return {
        "source_files": sources.files,
        "name": storage.name(storage.absolute(folder)),
        "corpus": corpus,
        "filters": corpus.config.get("filters"),
        "tokenizer": tokenizer,
        "shards": shards,
        "dropped": _dropped(corpus),
        "licenses": _licenses(folder, run.manifests[CORPUS], sources),
    }


def model_card(folder: str, path: str, result_paths: Sequence[str]) -> Content:
    """Return the content of the card of the model at ``path``.

    That may be a run, in ``folder`` or with its shards.
    Raises :class:`MismatchError` for results of another model, or if the model does not come from the run.
    """
    sources = SourceFiles()
    found, own = loading.find(path), find_run(path)
    if own:
        run = _Run(folder or parent(own.folder), sources, own.folder)
        imported, shape, tuning, trained = None, None, None, True
    else:
        run = _Run(folder, sources)
        imported, shape = _model_folder(path, sources)
        tuning, trained = _origin(run, path, found) if folder else (None, False)
    corpus, shards, training = (run.stage(each) if trained else None for each in (CORPUS, PACK, TRAIN))
    filters = corpus.config.get("filters") if corpus else None
    if training:
        run.check_made_from("model", training.facts.shards_sha256, PACK)
    validation = _validation(run) if training else None
    described, last_trained = imported or training, tuning or training
    summaries = [_results(each, found.sha256, sources) for each in result_paths]
    return {
        "source_files": sources.files,
        "name": _fact(imported, "name", found.name),
        "languages": filters.languages if filters else _fact(imported, "languages", ()),
        "license": _fact(imported, "license", ""),
        "architecture": _architecture(shape or (last_trained.facts.model if last_trained else None)),
        "parameters": described.counts.parameters if described else None,
        "shards": shards,
        "training": training,
        "tuning": tuning,
        "validation": validation,
        "imported": imported,
        "suites": [suite for summary in summaries for suite in summary.suites],
    }


def _origin(run: _Run, path: str, found: loading.ModelSource) -> tuple[JsonNode | None, bool]:
    """Return the run's fine-tuning of the model, if any, and True if the run pre-trained the model.

    Raises :class:`MismatchError` if the run did neither.
    """
    model_manifest = manifest.read(path, loading.STAGE)
    tuning = None
    folder = storage.join(run.folder, STAGE_FOLDERS[TUNE])
    if storage.exists(storage.join(folder, manifest.NAME)):
        same = manifest.read(folder, TUNE).fingerprint == model_manifest.fingerprint
        tuning = run.stage(TUNE) if same else None
    origins = {model_manifest.facts.get("origin_sha256"), model_manifest.facts.get("base_sha256")}
    runs = [each for each in (run.training, *named_runs(run.folder)) if storage.exists(each)]
    trained_by = [each for each in runs if loading.find(each).sha256 in origins]
    if trained := bool(trained_by):
        run.training = trained_by[0]
    if not trained and not tuning:
        raise MismatchError(
            f"{path}: model {found.name} ({found.sha256[:12]}…) does not come from the run {run.folder}; "
            "name the run that it comes from, or none"
        )
    return tuning, trained


def _dropped(corpus: JsonNode) -> list[tuple[str, Number]]:
    """Return the number of records dropped for each reason, largest first."""
    counts = ((key, number) for key, number in corpus.counts.items() if key.startswith("dropped."))
    by_reason = [(key.removeprefix("dropped."), number) for key, number in counts]
    return sorted(by_reason, key=lambda each: (-each[1].value, each[0]))


def _licenses(folder: str, corpus: Manifest, sources: SourceFiles) -> list[tuple[str, str, Number]]:
    """Count documents by source and license, from the documents themselves.

    Raises :class:`MismatchError` if their number is not that of the manifest.
    """
    files = [entry for entry in corpus.files if entry.path.startswith("documents/")]
    counts: Counter[tuple[str, str]] = Counter()
    for entry in files:
        with storage.open_read(storage.join(folder, entry.path)) as stream:
            columns = pq.ParquetFile(stream).read(columns=["source", "license"])
        for row in columns.group_by(["source", "license"]).aggregate([([], "count_all")]).to_pylist():
            counts[row["source"], row["license"] or NOT_STATED] += row["count_all"]
    if counts.total() != corpus.counts["kept"]:
        raise MismatchError(
            f"{folder}: {counts.total()} documents, but {manifest.NAME} says {corpus.counts['kept']} were "
            f"kept; restore the folder or run {corpus.stage} again"
        )
    digest = hashlib.sha256(manifest.canonical(sorted((entry.path, entry.sha256) for entry in files)))
    name = f"documents/ ({len(files)} files; hash of the list of their hashes)"
    source_ids = sources.add(name, digest.hexdigest())
    return [(*key, Number(count, source_ids)) for key, count in sorted(counts.items())]


def _fact(imported: JsonNode | None, name: str, default: Any) -> Any:
    """Return a fact from the manifest of a model folder."""
    return imported.facts[name] if imported and name in imported.facts else default


def _architecture(shape: JsonNode | None) -> list[tuple[str, Number | str]]:
    """Return the scalar values of a model's configuration."""
    values = shape.items() if shape else ()
    rows = ((key.replace("_", " "), _scalar(value)) for key, value in values)
    return [(key, value) for key, value in rows if value is not None]


def _scalar(value: Any) -> Number | str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, (Number, str)) else None


def _validation(run: _Run) -> JsonNode | None:
    """Return the results of ``train.validate``, if there are any. Raises :class:`MismatchError`."""
    path = storage.join(run.training, "validation.json")
    if not storage.exists(path):
        return None
    validation = run.sources.read_json(path, f"{storage.name(run.training)}/validation.json")
    run.check_made_from("validation.json", validation.shards_sha256, PACK)
    return validation


def _model_folder(folder: str, sources: SourceFiles) -> tuple[JsonNode, JsonNode | None]:
    """Read the manifest of a model folder, and ``config.json``, which adapters lack."""
    found = manifest.read(folder, loading.STAGE)
    entries = {entry.path: entry for entry in found.files}
    name = storage.name(storage.absolute(folder))
    model_manifest = sources.read_json(storage.join(folder, manifest.NAME), f"{name}/{manifest.NAME}")
    if CONFIG not in entries:
        return model_manifest, None
    manifest.verify_file(folder, entries[CONFIG])
    return model_manifest, sources.read_json(storage.join(folder, CONFIG), f"{name}/{CONFIG}")


def _results(path: str, sha256: str, sources: SourceFiles) -> JsonNode:
    """Read a results file. Raises :class:`MismatchError` if it is of another model than ``sha256``."""
    summary = results.read(path)
    model = summary["model"]
    if model["sha256"] != sha256:
        raise MismatchError(
            f"{path}: results of model {model['name']} ({model['sha256'][:12]}…), not of the card's model; "
            "give results of that model"
        )
    suites = ", ".join(suite["name"] for suite in summary["suites"])
    return sources.read_json(results.results_path(path), f"{results.RESULTS_FILE} ({suites})")
