"""Analyse a document once: words, lines and paragraphs as arrays of spans and 64-bit hashes.

Every filter and MinHash read the same :class:`Analysis`, so that the text is traversed once, by array
operations on its code points. Start reading with :mod:`~pipeline.analysis.document_analysis`; the rules that
split text into tokens are in :mod:`~pipeline.analysis.words`.
"""

from core.hashing import Hashes
from pipeline.analysis.arrays import Codes, Flags, Positions, nonzero_indices, prefix_counts
from pipeline.analysis.document_analysis import Analysis, analyse, hash_words
from pipeline.analysis.hashes import extend_ngrams, ngram_hashes, suffix_hashes
from pipeline.analysis.spans import Lines, Spans, line_hashes

__all__ = [
    "Analysis",
    "Codes",
    "Flags",
    "Hashes",
    "Lines",
    "Positions",
    "Spans",
    "analyse",
    "extend_ngrams",
    "hash_words",
    "line_hashes",
    "ngram_hashes",
    "nonzero_indices",
    "prefix_counts",
    "suffix_hashes",
]
