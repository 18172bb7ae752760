"""Measure a document with every filter, then decide by the configured recipe."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core import config, storage
from pipeline.analysis import Analysis, analyse
from pipeline.filters import language, line_rules, pii, toxicity, url
from pipeline.filters.classifier.model import QUALITY_CHARACTERS, Classifier
from pipeline.filters.heuristics import c4, dclm, dolma, fineweb, gopher, refinedweb, stop_words
from pipeline.filters.line_rules import Edit
from pipeline.filters.recipe import Counting, build_recipe, first_failing
from pipeline.filters.toxicity import sentences
from pipeline.ledger import Drop


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

    def filter_text(
        self, text: str, declared_language: str = "", *, keep_lines: bool = False
    ) -> FilterResult:
        """Measure a text, edit it and decide. FineWeb's metrics are computed after the line rules.

        ``keep_lines``: publish all lines; the decision is the same. About 5 ms for 3,000 characters, once the
        models are loaded (half a second per process).
        """
        preset = self._recipe.preset
        analysis = analyse(text, split_unspaced=preset.split_unspaced)
        code, score = language.identify(text, declared_language, self._settings.language_model)
        c4_result = c4.clean(analysis, terminal_punctuation=preset.terminal_punctuation)
        refinedweb_result = refinedweb.correct(analysis)
        edit = line_rules.apply(analysis, preset, c4_result, refinedweb_result)
        clean, sentence_metrics = self._remove_toxic_sentences(text if keep_lines else edit.published)
        masked = pii.mask(clean, code)
        metrics = {
            **stop_words.count_distinct(analysis, code),
            **_gopher_metrics(preset.counting, analysis, edit),
            **c4_result.metrics,
            **refinedweb_result.metrics,
            **fineweb.measure(edit.analysis, edit.kept),
            **self._classifier_scores(text),
            **sentence_metrics,
            **masked.metrics,
            "pii_items": sum(masked.metrics.values()),
            **line_rules.count_removed(text, clean),
        }
        published = masked.text if self._recipe.mask_pii else clean
        return FilterResult(
            text=published,
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

    def _classifier_scores(self, text: str) -> dict[str, float]:
        scores = {"toxicity": self._toxicity().score(text)}
        if self._settings.quality_model:
            scores["quality"] = _quality(self._settings.quality_model).score(text[:QUALITY_CHARACTERS])
        return scores

    def _toxicity(self) -> toxicity.Scorer:
        return _toxicity(self._settings.toxicity_model, self._settings.toxicity_words)


@cache
def _toxicity(model: str, words: str) -> toxicity.Scorer:
    return toxicity.load(model and storage.local_copy(model), words and storage.local_copy(words))


@cache
def _quality(model: str) -> Classifier:
    return Classifier(Path(storage.local_copy(model)))


def _gopher_metrics(counting: Counting, analysis: Analysis, edit: Edit) -> dict[str, float]:
    """Gopher's metrics in the preset's variant. Dolma measures after its line rule."""
    match counting:
        case "dolma":
            return dolma.measure(edit.measured)
        case "dclm":
            return dclm.measure(analysis)
        case _:
            return {**gopher.quality(analysis), **gopher.repetition(analysis)}
