"""Toxicity: insult, obscenity and hatred, by a shipped fastText classifier with word-list features.

Start reading with :mod:`~pipeline.filters.toxicity.scoring`; the model's card is ``models/toxicity.md``.
"""

from pipeline.filters.toxicity.scoring import MODEL, Scorer, category, load, score

__all__ = ["MODEL", "Scorer", "category", "load", "score"]
