"""What happened to every record: kept or dropped, at which stage, why, by which value and threshold.

The law: records in = kept + Σ dropped by reason + quarantined.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Reason(StrEnum):
    """Every condition that can drop a record; the part before the dot is the stage."""

    # Reading: the record is sound, but is no page.
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
    # Filters, by the address and by the text.
    URL_DOMAIN = "url.domain"
    URL_ADDRESS = "url.address"
    URL_WORD = "url.word"
    URL_SOFT_WORDS = "url.soft_words"
    URL_FRAGMENT = "url.fragment"
    LANGUAGE_SCORE = "language.score"
    LANGUAGE_UNWANTED = "language.unwanted"
    GOPHER_FEW_WORDS = "gopher.few_words"
    GOPHER_MANY_WORDS = "gopher.many_words"
    GOPHER_SHORT_WORDS = "gopher.short_words"
    GOPHER_LONG_WORDS = "gopher.long_words"
    GOPHER_HASHES = "gopher.hashes"
    GOPHER_ELLIPSES = "gopher.ellipses"
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
    TOXICITY_SCORE = "toxicity.score"
    # Duplicates.
    EXACT_DUPLICATE = "dedup.exact"
    NEAR_DUPLICATE = "dedup.near"

    @property
    def stage(self) -> str:
        """The stage that drops by this reason."""
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Drop:
    """A decision against a record: the failing condition, and the value that failed the threshold."""

    reason: Reason
    value: float | None = None
    threshold: float | None = None


def schema() -> pa.Schema:
    """One row per input record that could be read. ``sample``: first characters of some dropped texts."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("url", pa.string()),
            ("stage", pa.string()),
            ("kept", pa.bool_()),
            ("reason", pa.string()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            ("duplicate_of", pa.string()),
            ("sample", pa.string()),
        ]
    )


def quarantine_schema() -> pa.Schema:
    """One row per record that could not be read: where it lies and what was wrong."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("path", pa.string()),
            ("offset", pa.int64()),
            ("length", pa.int64()),
            ("error", pa.string()),
        ]
    )
