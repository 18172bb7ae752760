"""Measure documents with every filter, then decide by the configured recipe."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core import config, storage
from pipeline.analysis import Columns, analyse_together, batches
from pipeline.filters import language, line_rules, pii, toxicity, url
from pipeline.filters.classifier.model import QUALITY_CHARACTERS, Classifier
from pipeline.filters.heuristics import c4, dclm, dolma, fineweb, gopher, refinedweb, stop_words
from pipeline.filters.line_rules import Edits
from pipeline.filters.recipe import Counting, build_recipe, first_failing
from pipeline.filters.toxicity import sentences
from pipeline.ledger import Drop


class FilterInput(NamedTuple):
    """A text to filter."""

    text: str
    declared_language: str = ""
    keep_lines: bool = False
    """Publish all lines; the decision is the same."""


@dataclass(frozen=True, slots=True)
class FilterResult:
    """The edited text of one document, its metrics and the decision."""

    text: str
    """The text to publish: edited by the preset's line rules, personal data masked if configured."""
    metrics: dict[str, float]
    """Values by their names in :data:`pipeline.document.METRICS`; metrics not computed are absent."""
    language: str
    language_score: float
    drop: Drop | None
    """The first failing condition, or None if the document is kept."""


class FilterPipeline:
    """All filters under one configuration. Cheap to create and to pickle: models and lists load on first use.

    Raises :class:`ConfigError` on construction for an unknown preset or condition.
    """

    def __init__(self, settings: config.FiltersConfig) -> None:
        self._settings = settings
        self._recipe = build_recipe(settings)

    def check_url(self, address: str) -> tuple[dict[str, float], Drop | None]:
        """Return the metrics of a URL and the first condition on it that fails, before extraction.

        An empty URL has no metrics. About 0.1 ms.
        """
        if not address:
            return {}, None
        settings = self._settings
        lists = url.load(settings.url_domains, settings.url_addresses, settings.url_words)
        metrics = lists.measure(address)
        return metrics, first_failing(self._recipe, metrics)

    def filter_texts(self, inputs: Sequence[FilterInput]) -> Iterator[FilterResult]:
        """Measure, edit and decide about each text, as :meth:`filter_text` does.

        Short texts take less time together than one by one. Memory is bounded by the longest text, or by
        :data:`~pipeline.analysis.BATCH_CHARACTERS`.
        """
        for part in batches([each.text for each in inputs]):
            yield from self._filter_together(inputs[part])

    def filter_text(
        self, text: str, declared_language: str = "", *, keep_lines: bool = False
    ) -> FilterResult:
        """Measure a text, edit it and decide. FineWeb's metrics are computed after the line rules.

        ``keep_lines``: publish all lines; the decision is the same. About 5 ms for 3,000 characters, once the
        models are loaded (half a second per process).
        """
        return next(self._filter_together([FilterInput(text, declared_language, keep_lines)]))

    def _filter_together(self, inputs: Sequence[FilterInput]) -> Iterator[FilterResult]:
        preset, texts = self._recipe.preset, [each.text for each in inputs]
        analysis = analyse_together(texts, split_unspaced=preset.split_unspaced)
        languages = language.identify_together(
            texts, [each.declared_language for each in inputs], self._settings.language_model
        )
        c4_result = c4.clean(analysis, terminal_punctuation=preset.terminal_punctuation)
        refinedweb_result = refinedweb.correct(analysis)
        edits = line_rules.apply(analysis, preset, c4_result, refinedweb_result)
        sentences_removed = [
            self._remove_toxic_sentences(each.text if each.keep_lines else published)
            for each, published in zip(inputs, edits.published, strict=True)
        ]
        columns = {
            **_gopher_metrics(preset.counting, edits),
            **c4_result.metrics,
            **refinedweb_result.metrics,
            **_fineweb_metrics(edits, preset.split_unspaced),
            **self._classifier_scores(texts),
            **line_rules.count_removed(analysis, [clean for clean, _ in sentences_removed]),
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        for index, row in enumerate(rows):
            (code, score), (clean, sentence_metrics) = languages[index], sentences_removed[index]
            metrics = stop_words.count_distinct(analysis.word_hashes_of(index), code)
            metrics |= dict(zip(columns, row, strict=True)) | sentence_metrics
            yield self._result(clean, metrics, code, score)

    def _result(self, clean: str, metrics: dict[str, float], code: str, score: float) -> FilterResult:
        """Mask personal data in an edited text, and decide."""
        masked = pii.mask(clean, code)
        metrics |= masked.metrics
        metrics["pii_items"] = sum(masked.metrics.values())
        return FilterResult(
            text=masked.text if self._recipe.mask_pii else clean,
            metrics=metrics,
            language=code,
            language_score=score,
            drop=first_failing(self._recipe, metrics, code, score),
        )

    def mask(self, text: str, language: str) -> str:
        """Mask personal data if the recipe does so; otherwise return the text unchanged."""
        return pii.mask(text, language).text if self._recipe.mask_pii else text

    def _remove_toxic_sentences(self, text: str) -> tuple[str, dict[str, float]]:
        """Remove toxic sentences if the preset sets a threshold; otherwise add no metric."""
        threshold = self._recipe.preset.toxic_sentence
        if threshold is None:
            return text, {}
        clean, number = sentences.remove_toxic(text, self._toxicity().scores, threshold)
        return clean, {"toxic_sentences": number}

    def _classifier_scores(self, texts: Sequence[str]) -> Columns:
        scores = {"toxicity": np.array(self._toxicity().scores(texts))}
        if self._settings.quality_model:
            quality = _quality(self._settings.quality_model)
            scores["quality"] = np.array([quality.score(text[:QUALITY_CHARACTERS]) for text in texts])
        return scores

    def _toxicity(self) -> toxicity.Scorer:
        return _toxicity(self._settings.toxicity_model, self._settings.toxicity_words)


@cache
def _toxicity(model: str, words: str) -> toxicity.Scorer:
    return toxicity.load(model and storage.local_copy(model), words and storage.local_copy(words))


@cache
def _quality(model: str) -> Classifier:
    return Classifier(Path(storage.local_copy(model)))


def _gopher_metrics(counting: Counting, edits: Edits) -> Columns:
    """Gopher's metrics in the preset's variant. Dolma measures after its line rule."""
    analysis = edits.analysis
    match counting:
        case "dolma":
            return _columns(
                [dolma.measure(edits.measured_text(index)) for index in range(len(analysis.texts))]
            )
        case "dclm":
            return _columns(dclm.measure(analysis))
        case _:
            return {**gopher.quality(analysis), **gopher.repetition(analysis)}


def _fineweb_metrics(edits: Edits, split_unspaced: bool) -> Columns:
    columns = fineweb.measure(edits.analysis, edits.kept)
    if edits.edited:
        analysis = analyse_together(list(edits.edited.values()), split_unspaced=split_unspaced)
        for name, values in fineweb.measure(analysis).items():
            columns[name][list(edits.edited)] = values
    return columns


def _columns(rows: Sequence[Mapping[str, float]]) -> Columns:
    return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
