"""The filters' one door: measure everything about a text, then let the recipe decide."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core import config, storage
from pipeline.analysis import Analysis, Hashes, analyse
from pipeline.filters import language, pii, toxicity, url
from pipeline.filters.classifier.model import PASSAGE, Classifier
from pipeline.filters.heuristics import c4, dclm, dolma, fineweb, gopher, refinedweb, stop_words
from pipeline.filters.recipe import Counting, first_failing, recipe
from pipeline.filters.toxicity import sentences
from pipeline.ledger import Drop


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What the filters make of one text."""

    text: str
    """As published: edited as the preset says, and with personal data masked, if so asked."""
    metrics: dict[str, float]
    """Numbers by their names in :data:`pipeline.document.METRICS`; those that were not taken are missing."""
    language: str
    language_score: float
    drop: Drop | None
    """The first condition that fails, or None: the document stays."""
    word_hashes: Hashes
    """Of the published text, for MinHash."""


class FilterPipeline:
    """Decides by one configuration. Cheap to make and to pickle; models and lists load where they are used.

    Raises :class:`ConfigError` at once for an unknown preset or condition.
    """

    def __init__(self, settings: config.FiltersConfig) -> None:
        self._settings = settings
        self._recipe = recipe(settings)

    def url(self, address: str) -> tuple[dict[str, float], Drop | None]:
        """The metrics of an address, and the first condition on it that fails; before a page is extracted.

        No address has no metrics. About 0.1 ms.
        """
        if not address:
            return {}, None
        settings = self._settings
        lists = url.load(settings.url_domains, settings.url_addresses, settings.url_words)
        metrics = lists.measure(address)
        return metrics, first_failing(self._recipe, metrics)

    def text(self, text: str, declared_language: str = "") -> FilterResult:
        """Measure and decide. FineWeb's measures are those of the text that the line rules leave.

        Some 5 ms for 3,000 characters, once the models are loaded (half a second per process).
        """
        preset = self._recipe.preset
        analysis = analyse(text, split_unspaced=preset.split_unspaced)
        code, score = language.identify(text, declared_language, self._settings.language_model)
        page = c4.clean(analysis, terminal_punctuation=preset.terminal_punctuation)
        corrected = refinedweb.correct(analysis)
        edited = self._edited(analysis, page, corrected)
        metrics = {
            **stop_words.distinct(analysis, code),
            **_gopher(preset.counting, analysis, edited),
            **page.metrics,
            **corrected.metrics,
            **fineweb.measure(edited),
            **self._scores(text),
        }
        clean, spoken = self._without_toxic_sentences(edited.text)
        masked = pii.mask(clean, code)
        metrics |= spoken | masked.metrics | {"pii_items": sum(masked.metrics.values())}
        published = self._reanalyse(edited, masked.text if self._recipe.mask_pii else clean)
        return FilterResult(
            text=published.text,
            metrics=metrics,
            language=code,
            language_score=score,
            drop=first_failing(self._recipe, metrics, code, score),
            word_hashes=published.word_hashes,
        )

    def masked(self, text: str, language: str) -> str:
        """The text without personal data, if the recipe masks it."""
        return pii.mask(text, language).text if self._recipe.mask_pii else text

    def _edited(self, analysis: Analysis, page: c4.Page, corrected: refinedweb.Corrected) -> Analysis:
        """What the line rules leave which the preset names."""
        match self._recipe.preset.lines:
            case "c4" if page.kept is not None and page.text != analysis.text:
                return analysis.select(page.kept)
            case "c4":
                return self._reanalyse(analysis, page.text)
            case "refinedweb":
                return self._reanalyse(analysis, corrected.text)
            case "finished":
                return self._reanalyse(analysis, dolma.finished(analysis.text))
            case _:
                return analysis

    def _reanalyse(self, analysis: Analysis, text: str) -> Analysis:
        """The analysis of an edited text; the same one where nothing was edited."""
        split_unspaced = self._recipe.preset.split_unspaced
        return analysis if text == analysis.text else analyse(text, split_unspaced=split_unspaced)

    def _without_toxic_sentences(self, text: str) -> tuple[str, dict[str, float]]:
        """The text as it is, and no number, where the preset does not ask for it."""
        threshold = self._recipe.preset.toxic_sentence
        if threshold is None:
            return text, {}
        clean, number = sentences.without_toxic(text, self._toxicity().scores, threshold)
        return clean, {"toxic_sentences": number}

    def _scores(self, text: str) -> dict[str, float]:
        """The classifiers'."""
        scores = {"toxicity": self._toxicity().score(text)}
        if self._settings.quality_model:
            scores["quality"] = _quality(self._settings.quality_model).score(text[:PASSAGE])
        return scores

    def _toxicity(self) -> toxicity.Scorer:
        return _toxicity(self._settings.toxicity_model, self._settings.toxicity_words)


@cache
def _toxicity(model: str, words: str) -> toxicity.Scorer:
    return toxicity.load(model and storage.local_copy(model), words and storage.local_copy(words))


@cache
def _quality(model: str) -> Classifier:
    return Classifier(Path(storage.local_copy(model)))


def _gopher(counting: Counting, analysis: Analysis, edited: Analysis) -> dict[str, float]:
    """Gopher's measures in the variant that the preset names. Dolma measures after its line rule."""
    match counting:
        case "dolma":
            return dolma.measure(edited.text)
        case "dclm":
            return dclm.measure(analysis)
        case _:
            return {**gopher.quality(analysis), **gopher.repetition(analysis)}
