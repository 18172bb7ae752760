"""Model card of a classifier: training data, settings, evaluation and limits."""

import math
from collections import Counter
from collections.abc import Sequence

from jinja2 import Environment, StrictUndefined

from core.config import ClassifierConfig
from core.resources import read_text
from pipeline.filters.classifier.evaluation import Evaluation
from pipeline.filters.classifier.model import MAX_CHARACTERS, QUALITY_CHARACTERS
from pipeline.filters.classifier.training import MIN_LANGUAGE_TEXTS, Example

_ESCAPES = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " ", "\r": " ", "`": "'", "[": r"\["})
"""Characters that would end a table cell, or start HTML, code or a link."""
_NOT_LISTED = {"folder", "sets", "positive", "negative"}
"""Settings that other sections of the card cover."""


def render(
    settings: ClassifierConfig, inputs: Sequence[str], training: Sequence[Example], evaluation: Evaluation
) -> str:
    """Render the card as Markdown. ``training`` is the training examples, repetitions included."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"cell": _cell, "ratio": _ratio}
    template = read_text("pipeline.filters.classifier", "card.md.j2")
    counts = Counter((each.language, each.source, each.positive) for each in set(training))
    return environment.from_string(template).render(
        settings=settings,
        listed_settings=settings.model_dump(exclude=_NOT_LISTED),
        inputs=inputs,
        counts=sorted(counts.items()),
        max_characters=QUALITY_CHARACTERS if settings.positive.paths else MAX_CHARACTERS,
        min_language_texts=MIN_LANGUAGE_TEXTS,
        evaluation=evaluation,
    )


def _cell(text: str) -> str:
    return text.translate(_ESCAPES)


def _ratio(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
