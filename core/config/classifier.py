"""The section of ``jobs/train_classifier.py``."""

from typing import Literal

from pydantic import Field

from core.config.section import Section


class LabelledText(Section):
    """One labelled set: a delimited file (``.gz`` or not), and which column says what."""

    name: str
    language: str
    path: str
    """Below ``classifier.folder``."""
    text: str
    """The column with the text."""
    labels: tuple[str, ...]
    """The columns with labels."""
    positive: tuple[str, ...]
    """A row is positive if one of the labels has one of these values."""
    columns: tuple[str, ...] = ()
    """Names of the columns, where the file does not begin with them."""
    delimiter: Literal[",", "\t"] = ","
    quoted: bool = True
    """Fields may stand in double quotes."""
    learn: bool = True
    """False: the model is only measured on it."""


class CorpusConfig(Section):
    """``[classifier.positive]``, ``[classifier.negative]``: a corpus whose every text is of one class."""

    paths: tuple[str, ...] = ()
    """Folders of finished runs, whose documents are taken, and whatever ``input.paths`` may be, which is read
    as ``[input]`` and ``[extraction]`` say."""
    sources: tuple[str, ...] = ()
    """Only documents of these sources; empty: of all."""


class ClassifierConfig(Section):
    """``[classifier]``: a fastText classifier of text, positive or negative.

    It learns from labelled sets, from two corpora, or from both.
    """

    folder: str = ""
    """The folder with the labelled sets: local, ``hdfs://`` or ``s3://``."""
    sets: tuple[LabelledText, ...] = ()
    positive: CorpusConfig = CorpusConfig()
    negative: CorpusConfig = CorpusConfig()
    keep_share: float = Field(default=0.1, gt=0, lt=1)
    """The threshold that is picked keeps so much of the negative corpus: of raw crawl, its best tenth."""
    rows_per_class: int = Field(default=10_000, ge=1)
    """Each set gives as many positive and as many negative rows; a smaller one repeats its own. Each corpus
    gives at most so many, chosen by a hash, and none twice."""
    held_out_fraction: float = Field(default=0.1, gt=0, le=0.5)
    """Fraction of the texts that is used for evaluation instead of training."""
    dimension: int = Field(default=32, ge=1)
    epochs: int = Field(default=10, ge=1)
    learning_rate: float = Field(default=0.3, gt=0)
    word_ngrams: int = Field(default=2, ge=1)
    minn: int = Field(default=2, ge=0)
    """Characters of the shortest parts of words that are features; 0 with ``maxn`` 0: none."""
    maxn: int = Field(default=5, ge=0)
    buckets: int = Field(default=500_000, ge=1)
    """Hash buckets for word n-grams and parts of words."""
    features: int = Field(default=100_000, ge=0)
    """Features that are kept when the model is quantized; 0: all."""
    min_count: int = Field(default=2, ge=1)
    """Times that a word occurs, repeated rows counted, to be a feature by itself."""
    seed: int = Field(default=1, ge=0)
