"""The card of a classifier: what it learned from, how, how well it does, and what it cannot do."""

import math
from collections import Counter
from collections.abc import Sequence
from importlib import resources

from jinja2 import Environment, StrictUndefined

from pipeline.config import Classifier as Settings
from pipeline.filters.classifier import LONGEST, PASSAGE
from pipeline.filters.learning import FEWEST, Example
from pipeline.filters.measuring import Outcome

_MARKUP = str.maketrans({"|": r"\|", "<": "&lt;", "\n": " ", "\r": " ", "`": "'", "[": r"\["})
"""What would end a table's cell, or begin HTML, code or a link."""
_TOLD_ELSEWHERE = {"folder", "sets", "positive", "negative"}


def render(settings: Settings, inputs: Sequence[str], seen: Sequence[Example], outcome: Outcome) -> str:
    """The card as Markdown. ``seen``: what was learned from, repetitions included."""
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"cell": _cell, "ratio": _ratio}
    template = resources.files("pipeline.filters").joinpath("data/classifier_card.md.j2").read_text("utf-8")
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
