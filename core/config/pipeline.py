"""Sections of the data half: input, output, extraction, filters, dedup, ledger, tokenizer, pack."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class ColumnsConfig(Section):
    """``[input.columns]``: which columns of Parquet and JSON lines hold what; dots lead into objects.

    Empty: the usual names, such as ``url`` and ``metadata.url``.
    """

    text: str = ""
    url: str = ""
    title: str = ""
    language: str = ""
    date: str = ""
    license: str = ""


class IndexConfig(Section):
    """``[input.index]``: records chosen from an index of WARC files, each read by its bytes alone.

    Takes the place of ``input.paths``.
    """

    path: str = ""
    """A Parquet table with the columns of Common Crawl's: ``warc_filename`` (under ``input.commoncrawl``),
    ``warc_record_offset``, ``warc_record_length`` and whatever ``where`` speaks of."""
    where: str = ""
    """A condition in Spark SQL, such as ``content_languages = 'dan' AND fetch_status = 200``; empty: all."""


class InputConfig(Section):
    """``[input]``: where the raw records are and what they are."""

    paths: tuple[str, ...] = ()
    """Files, folders or globs: local, ``hdfs://`` or ``s3://``; files on ``https://``; ``commoncrawl:`` and a
    crawl's name, perhaps with ``/wet``, or a list of paths, and perhaps ``?sample=0.01``."""
    commoncrawl: str = "s3://commoncrawl/"
    """Where ``commoncrawl:`` names and an index's files lie: Common Crawl's bucket, a mirror (``https://``
    ``data.commoncrawl.org/``) or a copy."""
    format: Literal["auto", "warc", "wikipedia", "books", "jsonl", "parquet"] = "auto"
    """``auto`` decides per file by content and name."""
    source: str = ""
    """The documents' ``source``; empty: ``commoncrawl``, ``wikipedia`` or ``books`` by format."""
    split_bytes: int = Field(default=1 << 27, ge=1 << 16)
    """A file whose records can be reached from anywhere in it is read in pieces of so many stored bytes."""
    partitions: int = Field(default=0, ge=0)
    """Spark tasks that read; 0: one per split."""
    columns: ColumnsConfig = ColumnsConfig()
    index: IndexConfig = IndexConfig()


class OutputConfig(Section):
    """``[output]``: the folder that everything of one run is written to."""

    path: str = ""
    overwrite: bool = False
    """Replace what another configuration wrote there; otherwise that is refused."""


class ExtractionConfig(Section):
    """``[extraction]``: HTML and wikitext to text."""

    method: Literal["default", "resiliparse", "trafilatura"] = "default"
    """How a page's main content is found; the others as they come, for comparison."""
    max_bytes: int = Field(default=1 << 24, ge=1)
    """A record with more bytes (characters, where they are decoded already) is dropped."""
    max_seconds: float = Field(default=10.0, gt=0)
    """A record that takes more of the processor's time is dropped."""
    tables: bool = True
    """Keep the tables of wikis' articles, a line for each row."""
    lists: bool = True
    """Keep the items of wikis' lists, a line for each."""


class FiltersConfig(Section):
    """``[filters]``: which rules decide, and with which thresholds."""

    preset: str = "fineweb"
    """A file name in ``pipeline/filters/presets``; ``none`` keeps all and still measures all."""
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes to keep; empty: every language that is identified with enough confidence."""
    thresholds: dict[str, float | dict[str, float]] = Field(default={})
    """Rules of the preset to override, by reason: ``{"gopher.few_words" = 20}``; with other figures for some
    languages: ``{"gopher.few_words" = {default = 50, de = 40}}``."""
    mask_pii: bool = True
    """Replace e-mail addresses, public IP addresses and the like by tags."""
    language_model: str = ""
    """A fastText model that tells languages, such as GlotLID's; empty: lid.176. Paths here and below: local,
    ``hdfs://`` or ``s3://``."""
    url_domains: str = ""
    """A text file with a domain a line; it and those below it are counted by ``url.domain``, beside the list
    that is shipped."""
    url_addresses: str = ""
    """The same of single pages, for ``url.address``."""
    url_words: str = ""
    """The same of words in addresses, for ``url.word``."""
    quality_model: str = ""
    """A fastText classifier, such as ``jobs/train_classifier.py`` makes; its score is the metric ``quality``,
    for ``quality.score``. Empty: not measured."""
    toxicity_model: str = ""
    """A fastText classifier in the place of the one that is shipped."""
    toxicity_words: str = ""
    """A text file with a word a line, or a folder of such files: a text with many of them scores higher."""


class DedupConfig(Section):
    """``[dedup]``: MinHash with ``bands`` × ``rows`` permutations over word shingles."""

    exact: bool = True
    near: bool = True
    bands: int = Field(default=14, ge=1)
    rows: int = Field(default=8, ge=1)
    shingle: int = Field(default=5, ge=1)
    """Words per shingle."""
    seed: int = Field(default=1, ge=0)


class LedgerConfig(Section):
    """``[ledger]``: the account of every record."""

    sample_share: float = Field(default=0.1, ge=0, le=1)
    """Share of dropped records whose first characters are kept for inspection."""
    sample_characters: int = Field(default=300, ge=1)


class TokenizerConfig(Section):
    """``[tokenizer]``: SentencePiece BPE with byte fallback."""

    vocabulary_size: int = Field(default=32_000, ge=300, le=1_000_000)
    sample_characters: int = Field(default=1_000_000_000, ge=1)
    """Characters of text to learn from: a fixed, order-free sample of the documents."""
    seed: int = Field(default=1, ge=0)


class PackConfig(Section):
    """``[pack]``: documents to fixed-length sequences in Arrow shards."""

    sequence_length: int = Field(default=2048, ge=8)
    validation_share: float = Field(default=0.01, ge=0, lt=1)
    """Share of duplicate clusters that go to validation."""
    shard_sequences: int = Field(default=16_384, ge=1)
    """Sequences per shard file, at most."""
