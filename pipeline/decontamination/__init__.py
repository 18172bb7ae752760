"""Decontamination: find items of evaluation sets in the training text by word n-grams.

The sets are read and indexed once (:func:`load_index`); a :class:`Decontaminator` searches batches of texts.
"""

from core.config import DecontaminationConfig
from pipeline.decontamination.evaluation_sets import EvaluationSet, Item, read_sets
from pipeline.decontamination.index import EvaluationIndex, SetSummary, build
from pipeline.decontamination.matching import Contamination, Decontaminator, ItemMatch, cut
from pipeline.decontamination.rows import CONTAMINATION, to_value

__all__ = [
    "CONTAMINATION",
    "Contamination",
    "Decontaminator",
    "EvaluationIndex",
    "EvaluationSet",
    "Item",
    "ItemMatch",
    "SetSummary",
    "build",
    "cut",
    "load_index",
    "read_sets",
    "to_value",
]


def load_index(settings: DecontaminationConfig) -> EvaluationIndex | None:
    """Read and index the configured evaluation sets; None if there are none. Raises as :func:`read_sets`."""
    return build(read_sets(settings), settings.ngrams) if settings.paths else None
