"""Analyse documents once: words, lines and paragraphs as arrays of spans and 64-bit hashes.

Every filter and MinHash read the same :class:`Analysis`, so that the text is traversed once, by array
operations on its code points. Start reading with :mod:`~pipeline.analysis.document_analysis`; the rules that
split text into tokens are in :mod:`~pipeline.analysis.words`.
"""

from core.hashing import Hashes
from pipeline.analysis.arrays import Codes, Columns, Flags, Groups, Positions, nonzero_indices, prefix_counts
from pipeline.analysis.document_analysis import (
    BATCH_CHARACTERS,
    Analysis,
    analyse,
    analyse_together,
    batches,
    hash_words,
)
from pipeline.analysis.hashes import extend_ngrams, grouped_hashes, ngram_hashes, suffix_hashes
from pipeline.analysis.spans import Lines, Spans, line_hashes

__all__ = [
    "BATCH_CHARACTERS",
    "Analysis",
    "Codes",
    "Columns",
    "Flags",
    "Groups",
    "Hashes",
    "Lines",
    "Positions",
    "Spans",
    "analyse",
    "analyse_together",
    "batches",
    "extend_ngrams",
    "grouped_hashes",
    "hash_words",
    "line_hashes",
    "ngram_hashes",
    "nonzero_indices",
    "prefix_counts",
    "suffix_hashes",
]
