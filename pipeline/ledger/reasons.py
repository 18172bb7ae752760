"""The reasons for dropping records, and the metric and bound of each filter condition."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from core.resources import read_toml

Bound = Literal["at least", "at most"]


class Reason(StrEnum):
    """Every reason for dropping a record. The part before the dot is the stage."""

    # Reading: the record is valid but is not a page.
    RECORD_TYPE = "read.record_type"
    REVISIT = "read.revisit"
    HTTP_STATUS = "read.http_status"
    MEDIA_TYPE = "read.media_type"
    NAMESPACE = "read.namespace"
    REDIRECT = "read.redirect"
    TOO_LARGE = "read.too_large"
    # Extraction.
    EMPTY = "extract.empty"
    FAILED = "extract.failed"
    NESTING = "extract.nesting"
    TOO_LONG = "extract.too_long"
    TOO_SLOW = "extract.too_slow"
    CRASHED = "extract.crashed"
    # Filters, on the URL and on the text.
    URL_DOMAIN = "url.domain"
    URL_ADDRESS = "url.address"
    URL_WORD = "url.word"
    URL_SOFT_WORDS = "url.soft_words"
    URL_FRAGMENT = "url.fragment"
    LANGUAGE_SCORE = "language.score"
    LANGUAGE_UNWANTED = "language.unwanted"
    LANGUAGE_FEW_STOP_WORDS = "language.few_stop_words"
    GOPHER_FEW_WORDS = "gopher.few_words"
    GOPHER_MANY_WORDS = "gopher.many_words"
    GOPHER_SHORT_WORDS = "gopher.short_words"
    GOPHER_LONG_WORDS = "gopher.long_words"
    GOPHER_HASHES = "gopher.hashes"
    GOPHER_ELLIPSES = "gopher.ellipses"
    GOPHER_SYMBOLS = "gopher.symbols"
    GOPHER_BULLET_LINES = "gopher.bullet_lines"
    GOPHER_ELLIPSIS_LINES = "gopher.ellipsis_lines"
    GOPHER_UNALPHABETIC = "gopher.unalphabetic"
    GOPHER_FEW_STOP_WORDS = "gopher.few_stop_words"
    GOPHER_DUPLICATE_PARAGRAPHS = "gopher.duplicate_paragraphs"
    GOPHER_DUPLICATE_PARAGRAPH_CHARACTERS = "gopher.duplicate_paragraph_characters"
    GOPHER_DUPLICATE_LINES = "gopher.duplicate_lines"
    GOPHER_DUPLICATE_LINE_CHARACTERS = "gopher.duplicate_line_characters"
    GOPHER_TOP_2_GRAM = "gopher.top_2_gram"
    GOPHER_TOP_3_GRAM = "gopher.top_3_gram"
    GOPHER_TOP_4_GRAM = "gopher.top_4_gram"
    GOPHER_DUPLICATE_5_GRAMS = "gopher.duplicate_5_grams"
    GOPHER_DUPLICATE_6_GRAMS = "gopher.duplicate_6_grams"
    GOPHER_DUPLICATE_7_GRAMS = "gopher.duplicate_7_grams"
    GOPHER_DUPLICATE_8_GRAMS = "gopher.duplicate_8_grams"
    GOPHER_DUPLICATE_9_GRAMS = "gopher.duplicate_9_grams"
    GOPHER_DUPLICATE_10_GRAMS = "gopher.duplicate_10_grams"
    C4_LOREM_IPSUM = "c4.lorem_ipsum"
    C4_CURLY_BRACKET = "c4.curly_bracket"
    C4_FEW_SENTENCES = "c4.few_sentences"
    FINEWEB_UNFINISHED_LINES = "fineweb.unfinished_lines"
    FINEWEB_SHORT_LINES = "fineweb.short_lines"
    FINEWEB_DUPLICATE_LINE_CHARACTERS = "fineweb.duplicate_line_characters"
    FINEWEB_NEWLINES = "fineweb.newlines"
    REFINEDWEB_REMOVED_WORDS = "refinedweb.removed_words"
    QUALITY_SCORE = "quality.score"
    TOXICITY_SCORE = "toxicity.score"
    PII_ITEMS = "pii.items"
    # Decontamination.
    CONTAMINATION = "contamination.ngram"
    # Duplicates.
    URL_DUPLICATE = "dedup.url"
    EXACT_DUPLICATE = "dedup.exact"
    NEAR_DUPLICATE = "dedup.near"
    REPEATED = "dedup.repeated"

    @property
    def stage(self) -> str:
        """The stage that drops records for this reason."""
        return self.value.partition(".")[0]

    @property
    def meaning(self) -> str:
        """The reason in words, to follow "dropped, because"."""
        return _meanings()[self.value]


@cache
def _meanings() -> dict[str, str]:
    return read_toml("pipeline.ledger", "meanings.toml")


@overload
def satisfies(bound: Bound, value: float, threshold: float) -> bool: ...
@overload
def satisfies(bound: Bound, value: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.bool_]: ...
def satisfies(
    bound: Bound, value: float | npt.NDArray[np.float64], threshold: float
) -> bool | npt.NDArray[np.bool_]:
    """True if a value, or each value of an array, is at least or at most the threshold."""
    return value >= threshold if bound == "at least" else value <= threshold


@dataclass(frozen=True, slots=True)
class Drop:
    """The decision to drop a record: the failing condition, its value and its threshold."""

    reason: Reason
    value: float | None = None
    threshold: float | None = None


RULES: dict[Reason, tuple[str, Bound]] = {
    Reason.URL_DOMAIN: ("url_domain", "at most"),
    Reason.URL_ADDRESS: ("url_address", "at most"),
    Reason.URL_WORD: ("url_word", "at most"),
    Reason.URL_SOFT_WORDS: ("url_soft_words", "at most"),
    Reason.URL_FRAGMENT: ("url_fragment", "at most"),
    Reason.LANGUAGE_SCORE: ("language_score", "at least"),
    Reason.LANGUAGE_FEW_STOP_WORDS: ("language_stop_words", "at least"),
    Reason.GOPHER_DUPLICATE_PARAGRAPHS: ("gopher_duplicate_paragraphs", "at most"),
    Reason.GOPHER_DUPLICATE_PARAGRAPH_CHARACTERS: ("gopher_duplicate_paragraph_characters", "at most"),
    Reason.GOPHER_DUPLICATE_LINES: ("gopher_duplicate_lines", "at most"),
    Reason.GOPHER_DUPLICATE_LINE_CHARACTERS: ("gopher_duplicate_line_characters", "at most"),
    Reason.GOPHER_TOP_2_GRAM: ("gopher_top_2_gram", "at most"),
    Reason.GOPHER_TOP_3_GRAM: ("gopher_top_3_gram", "at most"),
    Reason.GOPHER_TOP_4_GRAM: ("gopher_top_4_gram", "at most"),
    Reason.GOPHER_DUPLICATE_5_GRAMS: ("gopher_duplicate_5_grams", "at most"),
    Reason.GOPHER_DUPLICATE_6_GRAMS: ("gopher_duplicate_6_grams", "at most"),
    Reason.GOPHER_DUPLICATE_7_GRAMS: ("gopher_duplicate_7_grams", "at most"),
    Reason.GOPHER_DUPLICATE_8_GRAMS: ("gopher_duplicate_8_grams", "at most"),
    Reason.GOPHER_DUPLICATE_9_GRAMS: ("gopher_duplicate_9_grams", "at most"),
    Reason.GOPHER_DUPLICATE_10_GRAMS: ("gopher_duplicate_10_grams", "at most"),
    Reason.GOPHER_FEW_WORDS: ("gopher_words", "at least"),
    Reason.GOPHER_MANY_WORDS: ("gopher_words", "at most"),
    Reason.GOPHER_SHORT_WORDS: ("gopher_mean_word_length", "at least"),
    Reason.GOPHER_LONG_WORDS: ("gopher_mean_word_length", "at most"),
    Reason.GOPHER_HASHES: ("gopher_hashes_per_word", "at most"),
    Reason.GOPHER_ELLIPSES: ("gopher_ellipses_per_word", "at most"),
    Reason.GOPHER_SYMBOLS: ("gopher_symbols_per_word", "at most"),
    Reason.GOPHER_BULLET_LINES: ("gopher_bullet_lines", "at most"),
    Reason.GOPHER_ELLIPSIS_LINES: ("gopher_ellipsis_lines", "at most"),
    Reason.GOPHER_UNALPHABETIC: ("gopher_alphabetic_words", "at least"),
    Reason.GOPHER_FEW_STOP_WORDS: ("gopher_stop_words", "at least"),
    Reason.C4_LOREM_IPSUM: ("c4_lorem_ipsum", "at most"),
    Reason.C4_CURLY_BRACKET: ("c4_curly_brackets", "at most"),
    Reason.C4_FEW_SENTENCES: ("c4_sentences", "at least"),
    Reason.FINEWEB_UNFINISHED_LINES: ("fineweb_finished_lines", "at least"),
    Reason.FINEWEB_SHORT_LINES: ("fineweb_short_lines", "at most"),
    Reason.FINEWEB_DUPLICATE_LINE_CHARACTERS: ("fineweb_duplicate_line_characters", "at most"),
    Reason.FINEWEB_NEWLINES: ("fineweb_newlines_per_word", "at most"),
    Reason.REFINEDWEB_REMOVED_WORDS: ("refinedweb_removed_words", "at most"),
    Reason.QUALITY_SCORE: ("quality", "at least"),
    Reason.TOXICITY_SCORE: ("toxicity", "at most"),
    Reason.PII_ITEMS: ("pii_items", "at most"),
}
"""The metric of each filter condition, and the direction of its threshold."""
