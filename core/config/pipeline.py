"""Sections of the data pipeline: input, output, extraction, filters, ledger, tokenizer, pack."""

import os
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from core.config.section import ByteSize, Section, Weights


class ColumnsConfig(Section):
    """Column names of Parquet tables and JSON lines.

    A dot selects a field of an object, as in ``metadata.url``. An empty name selects the first of the usual
    names that is present.
    """

    text: str = ""
    """Column with the text of a document."""
    url: str = ""
    """Column with the URL that the document was fetched from."""
    title: str = ""
    """Column with the title."""
    language: str = ""
    """Column with the language, in any spelling; where it is missing, the language is identified."""
    date: str = ""
    """Column with the date on which the document was fetched or written."""
    license: str = ""
    """Column with the license."""
    quality: str = ""
    """Column with a quality score, by which ``dedup.keep`` can choose between copies."""
    source: str = ""
    """Column with the document's source, such as Dolma's ``source``. Where it is empty or missing,
    ``input.source`` applies."""


class IndexConfig(Section):
    """WARC records selected by an index. Only the bytes of the selected records are read.

    Use either this section or ``input.paths``.
    """

    path: str = ""
    """Parquet table with the columns of Common Crawl's index: ``warc_filename`` (relative to
    ``input.commoncrawl``), ``warc_record_offset``, ``warc_record_length``, and those that ``where`` uses."""
    where: str = ""
    """Condition in Spark SQL, such as ``content_languages = 'dan' AND fetch_status = 200``; empty: all
    rows."""


class InputConfig(Section):
    """Raw records: where they are and which format they have."""

    paths: tuple[str, ...] = ()
    """Files, folders and globs, on local disk, ``hdfs://`` or ``s3://``; single files on ``https://``. A
    crawl is named as ``commoncrawl:CC-MAIN-2024-51``, for plain text ``commoncrawl:CC-MAIN-2024-51/wet``;
    ``commoncrawl:`` also takes a file that lists paths. ``?sample=0.01`` reads 1 % of the files."""
    commoncrawl: str = "s3://commoncrawl/"
    """Base of ``commoncrawl:`` paths and of the files in an index: Common Crawl's bucket, its mirror
    ``https://data.commoncrawl.org/`` or a copy."""
    format: Literal["auto", "warc", "wikipedia", "books", "jsonl", "parquet"] = "auto"
    """Reader to use; ``auto`` chooses one for each file by its content and name."""
    source: str = ""
    """Value of the documents' ``source`` column; empty: by format, such as ``commoncrawl`` for WARC."""
    split_bytes: ByteSize = Field(default=1 << 27, ge=1 << 16)
    """Largest part of a file that one task reads, in stored bytes. Applies to formats that can be split."""
    partitions: int = Field(default=0, ge=0)
    """Number of Spark tasks that read a portion; 0: one per split of a large file, or per group of small
    files."""
    portion_bytes: ByteSize = Field(default=1 << 40, ge=1 << 16)
    """Stored bytes that are read as one Spark job. A run that is interrupted while it reads goes on with the
    portion that it was at."""
    columns: ColumnsConfig = ColumnsConfig()
    keep_columns: tuple[str, ...] = ()
    """Columns of Parquet tables and JSON lines that are passed through to the documents, in a column
    ``metadata`` with a field for each. Strings stay as they are, other values become JSON. A dot selects a
    field of an object."""
    index: IndexConfig = IndexConfig()

    @field_validator("paths")
    @classmethod
    def _no_path_is_empty(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        if "" in paths:
            raise PydanticCustomError(
                "paths",
                "a path must not be empty; write . for the current folder, or remove it from the list",
            )
        return paths

    @field_validator("keep_columns")
    @classmethod
    def _columns_are_distinct(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        names = [name.strip().lower() for name in columns]
        for name in names:
            if not name or names.count(name) > 1:
                raise PydanticCustomError(
                    "columns",
                    "{name} must be the name of one column, not empty and listed once, whatever its case",
                    {"name": repr(name)},
                )
        return columns


class OutputConfig(Section):
    """Folder of the run. Every stage writes below it and reads there what earlier stages wrote."""

    path: str = ""
    """Local folder, ``hdfs://`` or ``s3://``."""
    overwrite: bool = False
    """Replace a stage's output that was written with another configuration, instead of stopping."""
    keep_analysis: bool = True
    """Keep ``analysis/`` after cleaning: every record with its metrics and its text, which
    ``jobs/rethreshold.py``, ``jobs/report.py`` and ``python -m pipeline.ledger`` read."""
    progress_seconds: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    """Interval of the progress lines of a Spark job whose output is not a terminal, in seconds; 0: no
    progress, neither there nor on a terminal."""
    log_file: str = ""
    """File to which a Spark job appends what it prints, its progress and Spark's warnings, each line with the
    time. On local disk only, also if ``output.path`` is remote, and outside of that folder."""

    @field_validator("log_file")
    @classmethod
    def _log_is_local_and_no_output(cls, path: str, info: ValidationInfo) -> str:
        if "://" in path and not path.startswith(("/", ".", "file://")):
            raise PydanticCustomError(
                "log_file",
                "must be a local path, because lines are appended, which remote storage does not support; "
                "name a local file, and copy it afterwards",
            )
        folder = info.data.get("path", "")
        if path and folder and _is_within(path, folder):
            raise PydanticCustomError(
                "log_file",
                "must not be in output.path, which holds only what a manifest lists; name a file elsewhere, "
                "such as {name}",
                {"name": f"{folder.rstrip('/') or 'run'}.log"},
            )
        return path


def _is_within(path: str, folder: str) -> bool:
    """True if a local path is that of a folder or in it; symbolic links are followed."""
    inner, outer = (os.path.realpath(each.removeprefix("file://")) for each in (path, folder))
    return os.path.commonpath([inner, outer]) == outer


class ExtractionConfig(Section):
    """Extraction of text from HTML and wikitext."""

    method: Literal["default", "resiliparse", "trafilatura"] = "default"
    """Extractor of a page's main content: ours, or a library's unchanged, for comparison."""
    max_bytes: ByteSize = Field(default=1 << 24, ge=1)
    """Largest record that is extracted, in bytes (characters if the reader decodes them); larger ones are
    dropped."""
    max_seconds: float = Field(default=10.0, gt=0)
    """CPU time that one record may take, in seconds; slower ones are dropped."""
    tables: bool = True
    """Keep tables of wiki articles, one line per row."""
    lists: bool = True
    """Keep lists of wiki articles, one line per item."""


class FiltersConfig(Section):
    """Filters that decide which documents are kept, and their thresholds.

    Every metric is stored with the document, whatever the thresholds are, so that other thresholds can be
    applied later (``jobs/rethreshold.py``) without reading the text again.
    """

    preset: str = "fineweb"
    """Set of filters and thresholds: the name of a file in ``pipeline/filters/presets``. ``none`` keeps
    everything and still measures everything. Another preset than the file's on the command line (``--set
    filters.preset=none``) resets ``thresholds`` and ``languages`` of the file."""
    languages: tuple[str, ...] = ()
    """Languages to keep: codes of ISO 639, tags such as ``pt-BR`` and ``eng_Latn``, English or native names;
    ``und`` for texts whose language is not known. Empty: every language that is identified with sufficient
    confidence."""
    thresholds: dict[str, float | dict[str, float]] = Field(default={})
    """Thresholds that replace or extend the preset's, by reason: ``{"gopher.few_words" = 20}``. Thresholds by
    language have a default: ``{"gopher.few_words" = {default = 50, de = 40}}``. Names of reasons contain a
    dot and need quotes. ``--set 'filters.thresholds={}'`` removes those of the file."""
    keep_lines: tuple[str, ...] = ("books", "gutenberg", "poetry")
    """Formats and sources of which all lines are published, although the preset's line rules would remove
    some. Their decisions are the same: the rules still count what they would leave."""
    mask_pii: bool | Literal["preset"] = "preset"
    """Replace e-mail addresses, public IP addresses and other personal data by tags. ``preset``: ``true`` for
    all presets but ``none``."""
    language_model: str = ""
    """fastText model for language identification, such as GlotLID; empty: the packaged lid.176. This and the
    paths below may be local, ``hdfs://`` or ``s3://``."""
    url_domains: str = ""
    """Text file with one blocked domain per line, in addition to the packaged list. Subdomains are blocked as
    well (``url.domain``)."""
    url_addresses: str = ""
    """Text file with one blocked page address per line (``url.address``)."""
    url_words: str = ""
    """Text file with one word per line that must not occur in addresses (``url.word``)."""
    quality_model: str = ""
    """fastText classifier, such as ``jobs/train_classifier.py`` writes. Its score is the metric ``quality``,
    for the threshold ``quality.score``. Empty: not measured."""
    toxicity_model: str = ""
    """fastText classifier that replaces the packaged toxicity classifier."""
    toxicity_words: str = ""
    """Text file with one word per line, or a folder of such files: texts with many of these words get a
    higher toxicity score."""

    @field_validator("thresholds", mode="before")
    @classmethod
    def _names_are_quoted(cls, thresholds: Any) -> Any:
        """Reject ``thresholds.gopher.few_words``, which TOML reads as nested tables, with the remedy."""
        for name, limit in thresholds.items() if isinstance(thresholds, dict) else ():
            if "." not in name:
                nested = isinstance(limit, dict) and limit
                raise PydanticCustomError(
                    "unquoted",
                    "{name} is not the name of a condition; names contain a dot and need quotes; write "
                    '"{example}" = …, on the command line --set \'filters.thresholds."{example}"=…\'',
                    {
                        "name": name,
                        "example": f"{name}.{next(iter(limit))}" if nested else "gopher.few_words",
                    },
                )
        return thresholds


class LedgerConfig(Section):
    """Ledger: one row per input record that says whether it was kept, and why not."""

    sample_share: float = Field(default=0.1, ge=0, le=1)
    """Fraction of the dropped records whose first characters are stored for inspection."""
    sample_characters: int = Field(default=300, ge=1)
    """Characters stored per sampled record."""


class TokenizerConfig(Section):
    """The tokenizer of the corpus: trained on its documents, or an existing one."""

    kind: Literal["bpe", "unigram", "byte-bpe", "char"] = "bpe"
    """Kind of tokenizer to train. ``bpe`` and ``unigram``: by SentencePiece, with byte fallback;
    ``byte-bpe``: byte-level BPE as in GPT-2; ``char``: a token per character, for small experiments."""
    path: str = ""
    """Existing tokenizer to use instead of training one: a ``tokenizer.json``, a SentencePiece ``.model``, or
    a folder with one of them, with GPT-2's ``encoder.json`` and ``vocab.bpe``, or of another run."""
    compare: str = ""
    """Another tokenizer, named like ``path``, that the report of the tokenizer shows beside it."""
    vocabulary_size: int = Field(default=32_000, ge=300, le=1_000_000)
    """Number of tokens, special tokens and the 256 bytes included; the largest number for ``char``."""
    sample_characters: int = Field(default=1_000_000_000, ge=1)
    """Characters of text to train on: a fixed sample of the documents, independent of their order."""
    source_weights: Weights = Field(default={})
    """Relative shares of the sources in the sample, such as ``{wikipedia = 2, web = 1}``; other sources are
    left out. Empty: as in the corpus."""
    language_weights: Weights = Field(default={})
    """Relative shares of the languages in the sample; other languages are left out. Empty: as in the
    corpus."""
    seed: int = Field(default=1, ge=0)
    """Seed of the sample."""


class PackConfig(Section):
    """Packing of documents into fixed-length sequences in Arrow shards."""

    sequence_length: int = Field(default=2048, ge=8)
    """Tokens per sequence that a model sees; each row stores one more, the last target."""
    method: Literal["best-fit-decreasing", "concatenate", "one-per-row"] = "best-fit-decreasing"
    """How documents share rows. ``best-fit-decreasing`` (Ding et al. 2024) cuts only documents longer than a
    row, at ends of paragraphs or sentences where this takes no more rows, at little padding; ``concatenate``
    cuts one row after the other from all documents, without padding; ``one-per-row`` crops documents to one
    row each."""
    rehydrate: bool = False
    """Repeat training documents that stand for several duplicates, as FineWeb-2 (Penedo et al. 2025) does: 2
    times for 2, 3 times for 3 or 4, 5 times for 5 to 99, 8 times for 100 to 999; for more, once."""
    validation_share: float = Field(default=0.01, ge=0, lt=1)
    """Fraction of the duplicate clusters that go to the validation split."""
    shard_sequences: int = Field(default=16_384, ge=1)
    """Largest number of sequences in a shard file."""
