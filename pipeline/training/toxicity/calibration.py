"""Calibration of the toxicity score: Platt scaling on held-out texts (Platt 1999)."""

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config import Config
from pipeline.filters.classifier.model import Classifier
from pipeline.filters.classifier.stage import MODEL, STAGE, train_classifier
from pipeline.filters.toxicity import scoring, word_weights
from pipeline.filters.toxicity.calibration import Calibration, Evidence
from pipeline.filters.toxicity.context import ContextWeights
from pipeline.filters.toxicity.word_weights import WordWeights
from pipeline.training.toxicity.context import fit_context
from pipeline.training.toxicity.sources import TITLES, Row, is_held_out

TOXIC_SHARE = 1 / 3
"""Assumed share of toxic texts, as in OLID and GermEval."""
TEACHER_SETS = ("Wikipedia, taught", "Books, taught", "Web pages, taught")
"""Sets that the teacher labelled. It was trained on Davidson's set."""

Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Labelled texts that a model was not trained on, and that model's evidence."""

    name: str
    toxic: Truth
    evidence: list[Evidence]
    """One array per text."""


def evaluation_set(
    name: str,
    rows: Sequence[Row],
    model: Classifier,
    weights: WordWeights | None = None,
    contexts: ContextWeights | None = None,
) -> EvaluationSet:
    """Collect a model's evidence in labelled texts; the last two arguments replace the shipped weights."""
    found = [scoring.evidence(model, text, weights, contexts) for text, _ in rows]
    return EvaluationSet(name, np.array([toxic for _, toxic in rows], dtype=bool), found)


def shipped_model() -> Classifier:
    """Load the shipped classifier."""
    file = resources.files("pipeline.filters.toxicity").joinpath(scoring.MODEL)
    with resources.as_file(file) as path:
        return Classifier(path)


def held_out_sets(sets: Mapping[str, Sequence[Row]]) -> Iterator[EvaluationSet]:
    """Yield the held-out tenth of each labelled set, with the evidence of the shipped model."""
    model = shipped_model()
    for name, title in TITLES.items():
        yield evaluation_set(title, [row for row in sets[name] if is_held_out(row[0])], model)


def left_out_sets(
    sets: Mapping[str, Sequence[Row]], config: Config, sentences: Sequence[str]
) -> Iterator[EvaluationSet]:
    """Yield each labelled set in full, with the evidence of a model trained on the other sets of ``config``.

    The sets that the teacher labelled are left out together with Davidson's set, the word weights of a set's
    language together with the set, and the set is left out of the context weights. ``sentences``: clean prose
    for these. Trains four models.
    """
    for name, title in TITLES.items():
        omitted = {title, *TEACHER_SETS} if name == "davidson" else {title}
        others = tuple(each for each in config.classifier.sets if each.name not in omitted)
        (own,) = (each for each in config.classifier.sets if each.name == title)
        with tempfile.TemporaryDirectory() as folder:
            settings = config.classifier.model_copy(update={"sets": others})
            output = config.output.model_copy(update={"path": folder})
            train_classifier(config.model_copy(update={"classifier": settings, "output": output}))
            model = Classifier(Path(folder) / STAGE / MODEL)
        weights = word_weights.load().without(own.language)
        contexts = fit_context({other: sets[other] for other in sets if other != name}, sentences)
        yield evaluation_set(f"{title}, left out", sets[name], model, weights, contexts)


def fit_calibration(parts: Sequence[EvaluationSet]) -> Calibration:
    """Fit the calibration with equal weight on every set and class, for a share of :data:`TOXIC_SHARE`.

    With both :func:`held_out_sets` and :func:`left_out_sets`, it is a compromise between texts like those
    trained on and others.
    """
    evidence, toxic, weights = [], [], []
    for part in parts:
        for rows, truth in zip(part.evidence, part.toxic, strict=True):
            evidence.append(rows)
            toxic += [truth] * len(rows)
            weights += [1 / (part.toxic == truth).sum()] * len(rows)
    rows = np.concatenate(evidence)
    design = np.column_stack([rows[:, :2], np.ones(len(rows))])
    slope, word_weight, intercept = fit_logistic(design, np.array(toxic), np.array(weights)).tolist()
    prior = math.log(TOXIC_SHARE / (1 - TOXIC_SHARE))
    return Calibration(round(slope, 3), round(word_weight, 3), round(intercept + prior, 3))


def fit_logistic(
    design: NDArray[np.float64], toxic: Truth, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the coefficients of a weighted logistic regression, by Newton's method."""
    solution = np.zeros(design.shape[1])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-design @ solution))
        curvature = (design * (weights * probability * (1 - probability))[:, None]).T @ design
        solution += np.linalg.solve(curvature, design.T @ (weights * (toxic - probability)))
    return solution
