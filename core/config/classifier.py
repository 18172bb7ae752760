"""The section of ``jobs/train_classifier.py``."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class LabelledSetConfig(Section):
    """One labelled data set: a delimited text file, optionally compressed (``.gz``)."""

    name: str
    """Name in the results."""
    language: str
    """Language of the texts, as an ISO 639-1 code."""
    path: str
    """Path of the file, relative to ``classifier.folder``."""
    text: str
    """Column with the text."""
    labels: tuple[str, ...]
    """Columns with labels."""
    positive: tuple[str, ...]
    """Label values that make a row positive; one in any of the label columns is enough."""
    columns: tuple[str, ...] = ()
    """Column names, for a file without a header line."""
    delimiter: Literal[",", "\t"] = ","
    """Separator of the fields."""
    quoted: bool = True
    """Fields may be enclosed in double quotes."""
    learn: bool = True
    """Train on this set. ``false``: only evaluate on it."""


class CorpusConfig(Section):
    """One of the two corpora that the classifier distinguishes. All its texts belong to one class."""

    paths: tuple[str, ...] = ()
    """Folders of finished runs, whose documents are used, and any path that ``input.paths`` takes; the latter
    are read as ``[input]`` and ``[extraction]`` say."""
    sources: tuple[str, ...] = ()
    """Use documents of these sources only; empty: all."""


class ClassifierConfig(Section):
    """Training of a fastText classifier with two classes, positive and negative.

    It is trained on labelled sets, on a positive and a negative corpus, or on both.
    """

    folder: str = ""
    """Folder with the labelled sets: local, ``hdfs://`` or ``s3://``."""
    sets: tuple[LabelledSetConfig, ...] = ()
    """The labelled sets, each in a table ``[[classifier.sets]]``."""
    positive: CorpusConfig = CorpusConfig()
    negative: CorpusConfig = CorpusConfig()
    keep_share: float = Field(default=0.1, gt=0, lt=1)
    """Fraction of the negative corpus that the chosen threshold keeps; 0.1 keeps the best tenth of raw
    crawl."""
    rows_per_class: int = Field(default=10_000, ge=1)
    """Rows per class. A labelled set gives this many positive and as many negative rows, repeated if it has
    fewer. A corpus gives at most this many, chosen by a hash, without repetition."""
    held_out_fraction: float = Field(default=0.1, gt=0, le=0.5)
    """Fraction of the texts that is used for evaluation instead of training."""
    dimension: int = Field(default=32, ge=1)
    """Dimension of the embeddings."""
    epochs: int = Field(default=10, ge=1)
    """Passes over the training texts."""
    learning_rate: float = Field(default=0.3, gt=0)
    """Initial learning rate."""
    word_ngrams: int = Field(default=2, ge=1)
    """Longest word n-gram that is a feature."""
    minn: int = Field(default=2, ge=0)
    """Length of the shortest character n-grams that are features; 0, with ``maxn`` 0: no character
    n-grams."""
    maxn: int = Field(default=5, ge=0)
    """Length of the longest character n-grams that are features."""
    buckets: int = Field(default=500_000, ge=1)
    """Hash buckets for word and character n-grams."""
    features: int = Field(default=100_000, ge=0)
    """Features that quantization keeps; 0: all."""
    min_count: int = Field(default=2, ge=1)
    """Occurrences, repeated rows included, from which a word gets an embedding of its own."""
    seed: int = Field(default=1, ge=0)
    """Seed of sampling, splits and training."""
