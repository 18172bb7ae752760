"""The filters' one door: measure everything about a text, then let the recipe decide."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import config
from pipeline.analysis import Analysis, Hashes, analyse
from pipeline.filters import c4, fineweb, gopher, language, pii, toxicity, url
from pipeline.filters.recipe import Condition, recipe
from pipeline.ledger import Drop, Reason


@dataclass(frozen=True, slots=True)
class Judged:
    """What the filters make of one text."""

    text: str
    """As published: without the lines that C4's rules remove and with personal data masked, if so asked."""
    metrics: dict[str, float]
    """A number for every name in :data:`pipeline.document.METRICS`."""
    language: str
    language_score: float
    drop: Drop | None
    """The first condition that fails, or None: the document stays."""
    word_hashes: Hashes
    """Of the published text, for MinHash."""


class Judge:
    """Decides by one configuration. Cheap to make and to pickle; models and lists load where they are used.

    Raises :class:`ConfigError` at once for an unknown preset or condition.
    """

    def __init__(self, settings: config.Filters) -> None:
        self._recipe = recipe(settings)
        conditions = self._recipe.conditions
        self._on_address = [condition for condition in conditions if condition.reason.stage == "url"]
        self._on_text = [condition for condition in conditions if condition.reason.stage != "url"]

    def url(self, address: str) -> Drop | None:
        """The first condition on addresses that fails; before a page is extracted. None for no address."""
        if not address or not self._on_address:
            return None
        return _first_failing(self._on_address, url.load().measure(address))

    def text(self, text: str, declared_language: str = "") -> Judged:
        """Measure and decide. FineWeb's measures are those of the text that C4's line rules leave.

        About 2 ms for 3,000 characters, once the models are loaded (half a second per process).
        """
        analysis = analyse(text)
        code, score = language.identify(text, declared_language)
        page = c4.clean(text, terminal_punctuation=self._recipe.lines.terminal_punctuation)
        edited = _reanalyse(analysis, page.text) if self._recipe.lines.remove else analysis
        masked = pii.mask(edited.text)
        published = _reanalyse(edited, masked.text) if self._recipe.mask_pii else edited
        metrics = {
            **gopher.quality(analysis),
            **gopher.repetition(analysis),
            **page.metrics,
            **fineweb.measure(edited),
            "toxicity": toxicity.score(text),
            **masked.metrics,
        }
        return Judged(
            text=published.text,
            metrics=metrics,
            language=code,
            language_score=score,
            drop=self._decide(metrics, code, score),
            word_hashes=published.word_hashes,
        )

    def _decide(self, metrics: Mapping[str, float], code: str, score: float) -> Drop | None:
        if self._recipe.languages and code not in self._recipe.languages:
            return Drop(Reason.LANGUAGE_UNWANTED, score)
        return _first_failing(self._on_text, {**metrics, "language_score": score})


def _reanalyse(analysis: Analysis, text: str) -> Analysis:
    """The analysis of an edited text; the same one where nothing was edited."""
    return analysis if text == analysis.text else analyse(text)


def _first_failing(conditions: list[Condition], values: Mapping[str, float]) -> Drop | None:
    for condition in conditions:
        value = values[condition.metric]
        if not condition.holds(value):
            return Drop(condition.reason, value, condition.threshold)
    return None
