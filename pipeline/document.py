"""The document row: a page, article or book between extraction and packing.

:func:`schema` is the contract of the ``documents/`` table (Parquet) and of all Arrow batches before it.
"""

import hashlib
from collections.abc import Sequence

import pyarrow as pa

METRICS: tuple[str, ...] = (
    "url_domain",
    "url_address",
    "url_word",
    "url_soft_words",
    "url_fragment",
    "language_stop_words",
    "gopher_words",
    "gopher_mean_word_length",
    "gopher_hashes_per_word",
    "gopher_ellipses_per_word",
    "gopher_symbols_per_word",
    "gopher_bullet_lines",
    "gopher_ellipsis_lines",
    "gopher_alphabetic_words",
    "gopher_stop_words",
    "gopher_duplicate_paragraphs",
    "gopher_duplicate_paragraph_characters",
    "gopher_duplicate_lines",
    "gopher_duplicate_line_characters",
    "gopher_top_2_gram",
    "gopher_top_3_gram",
    "gopher_top_4_gram",
    "gopher_duplicate_5_grams",
    "gopher_duplicate_6_grams",
    "gopher_duplicate_7_grams",
    "gopher_duplicate_8_grams",
    "gopher_duplicate_9_grams",
    "gopher_duplicate_10_grams",
    "c4_sentences",
    "c4_lorem_ipsum",
    "c4_curly_brackets",
    "fineweb_finished_lines",
    "fineweb_short_lines",
    "fineweb_duplicate_line_characters",
    "fineweb_newlines_per_word",
    "refinedweb_removed_words",
    "characters",
    "removed_characters",
    "removed_lines",
    "quality",
    "toxicity",
    "toxic_sentences",
    "pii_emails",
    "pii_ip_addresses",
    "pii_cards",
    "pii_ibans",
    "pii_phones",
    "pii_items",
)
"""Names of the filters' metrics, in the order of the ``metrics`` struct."""

ORIGIN = pa.struct([("path", pa.string()), ("offset", pa.int64()), ("length", pa.int64())])
"""Location of the raw record: file, first byte and number of bytes (in a compressed file, of its member)."""


def schema(kept: Sequence[str] = ()) -> pa.Schema:
    """Return the schema of a document. ``metrics`` are float64, null if not measured.

    With ``kept`` columns of the input it has a column ``metadata``, a struct of strings.
    """
    metadata = [("metadata", pa.struct([(name, pa.string()) for name in kept]))]
    return pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("source", pa.string()),
            ("url", pa.string()),
            ("title", pa.string()),
            ("fetched_at", pa.timestamp("us", tz="UTC")),
            ("language", pa.string()),
            ("language_score", pa.float64()),
            ("license", pa.string()),
            ("origin", ORIGIN),
            ("metrics", pa.struct([(metric, pa.float64()) for metric in METRICS])),
            ("cluster", pa.string()),
            ("cluster_size", pa.int64()),
            *(metadata if kept else ()),
        ]
    )


def document_id(file_name: str, offset: int) -> str:
    """Return a record's id, 32 hexadecimal digits, which is independent of where its file is stored.

    ``file_name`` is the file's name, unique among the inputs, without its folder or bucket. ``offset`` is the
    record's first byte.
    """
    return hashlib.blake2b(f"{file_name}\0{offset}".encode(), digest_size=16).hexdigest()


def text_hash(text: str) -> str:
    """Return the hash of the exact text, 32 hexadecimal digits."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
