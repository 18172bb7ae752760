"""The card of a classifier: what it learned from, how, how well it does, and what it cannot do."""

import math
from collections import Counter
from collections.abc import Sequence

from jinja2 import Environment, StrictUndefined

from core.config import ClassifierConfig
from core.resources import read_text
from pipeline.filters.classifier.evaluation import Outcome
from pipeline.filters.classifier.model import LONGEST, PASSAGE
from pipeline.filters.classifier.training import FEWEST, Example

_MARKUP = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " ", "\r": " ", "`": "'", "[": r"\["})
"""What would end a table's cell, or begin HTML, code or a link."""
_TOLD_ELSEWHERE = {"folder", "sets", "positive", "negative"}


def render(
    settings: ClassifierConfig, inputs: Sequence[str], seen: Sequence[Example], outcome: Outcome
) -> str:
    """The card as Markdown. ``seen``: what was learned from, repetitions included."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"cell": _cell, "ratio": _ratio}
    template = read_text("pipeline.filters.classifier", "card.md.j2")
    learned = Counter((each.language, each.source, each.positive) for each in set(seen))
    return environment.from_string(template).render(
        settings=settings,
        keys=settings.model_dump(exclude=_TOLD_ELSEWHERE),
        inputs=inputs,
        learned=sorted(learned.items()),
        longest=PASSAGE if settings.positive.paths else LONGEST,
        fewest=FEWEST,
        outcome=outcome,
    )


def _cell(text: str) -> str:
    return text.translate(_MARKUP)


def _ratio(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
