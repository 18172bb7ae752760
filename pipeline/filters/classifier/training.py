"""Learning a classifier from labelled text: read, hold out, balance, train, quantize.

fastText is deterministic with one thread and a seed; nothing else here is random: what is held out is decided
by a hash of the text or of its group, so that a text that occurs twice is never on both sides.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import fasttext
import numpy as np

from core import storage
from core.config import ClassifierConfig, LabelledText
from core.errors import InputError
from pipeline.filters.classifier.model import NEGATIVE, POSITIVE, prepare

FEWEST = 20
"""A language in which one of the corpora has fewer texts to learn from is not learned from: the classifier
would tell languages apart."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text, prepared, and whether it is positive."""

    text: str
    positive: bool
    language: str = ""
    source: str = ""
    url: str = ""
    group: str = ""
    """What is learned from, or measured on, as one; empty: the text by itself."""
    keys: frozenset[int] = frozenset()
    """Near copies share one."""
    length: int = 0
    """Characters of the text as it was."""


@dataclass(frozen=True, slots=True)
class Corpora:
    """Two corpora, one positive and one negative, that are not read yet."""

    inputs: list[str]
    """Changes when they do."""
    draw: Callable[[], list[Example]]
    """Reads a sample of both."""


def read(folder: str, labelled: LabelledText) -> list[Example]:
    """The examples of one set, without those that no words are left of.

    Raises :class:`InputError` for a missing file, one that is no text, or a column that it does not have.
    """
    path = storage.join(folder, labelled.path)
    rows = csv.reader(
        io.StringIO(_text(path), newline=""),
        delimiter=labelled.delimiter,
        quoting=csv.QUOTE_MINIMAL if labelled.quoted else csv.QUOTE_NONE,
    )
    columns = list(labelled.columns) or next(rows, [])
    for name in (labelled.text, *labelled.labels):
        if name not in columns:
            raise InputError(
                f"{path}: has no column {name!r}, only {', '.join(columns)}; correct classifier.sets"
            )
    text, labels = columns.index(labelled.text), [columns.index(name) for name in labelled.labels]
    examples = []
    for row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"{path}: line {rows.line_num} has {len(row)} fields, but there are {len(columns)} columns; "
                "correct delimiter, quoted or columns in classifier.sets"
            )
        positive = any(row[label] in labelled.positive for label in labels)
        examples.append(Example(prepare(row[text]), positive, length=len(row[text])))
    return [example for example in examples if example.text]


def _text(path: str) -> str:
    data = storage.read_bytes(path)
    try:
        return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error}); replace the file") from None


def hold_out(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Split into examples to learn from and examples to measure on, by a hash of their group.

    Near copies of what is learned from are not measured on.
    """
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        parts[_uniform(example.group or example.text) < fraction].append(example)
    seen, unseen = parts
    known = frozenset().union(*(example.keys for example in seen))
    return seen, [example for example in unseen if known.isdisjoint(example.keys)]


def _uniform(key: str) -> float:
    """Hash ``key`` to a number in [0, 1), by the hash's lowest decimal digit first."""
    digest = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
    rest, digit = divmod(digest, 10)
    return (digit + rest / (2**64 / 10)) / 10


def balance(examples: Sequence[Example], per_class: int, seed: int) -> list[Example]:
    """``per_class`` examples of each class; all repeated in turn where there are fewer.

    Raises :class:`InputError` where a class has none.
    """
    chosen = []
    generator = np.random.default_rng(seed)
    for positive in (False, True):
        members = [example for example in examples if example.positive is positive]
        if not members:
            kind = "positive" if positive else "negative"
            raise InputError(f"no {kind} examples to learn from; correct positive in classifier.sets")
        rounds = -(-per_class // len(members))
        order = np.concatenate([generator.permutation(len(members)) for _ in range(rounds)])
        chosen += [members[place] for place in order[:per_class].tolist()]
    return chosen


def shuffle(examples: Sequence[Example], seed: int) -> list[Example]:
    """The examples in an order that depends on the seed and their number alone."""
    return [examples[place] for place in np.random.default_rng(seed).permutation(len(examples)).tolist()]


def train(examples: Sequence[Example], settings: ClassifierConfig, folder: Path) -> Path:
    """Train on the examples in their order, quantize, and save; ``folder`` holds working files too."""
    text_path, model_path = folder / "examples.txt", folder / "model.ftz"
    with text_path.open("w", encoding="utf-8") as stream:
        for example in examples:
            stream.write(f"{POSITIVE if example.positive else NEGATIVE} {example.text}\n")
    model = fasttext.train_supervised(
        input=str(text_path),
        dim=settings.dimension,
        epoch=settings.epochs,
        lr=settings.learning_rate,
        wordNgrams=settings.word_ngrams,
        minn=settings.minn,
        maxn=settings.maxn,
        bucket=settings.buckets,
        minCount=settings.min_count,
        seed=settings.seed,
        thread=1,
        verbose=0,
    )
    model.quantize(
        input=str(text_path), cutoff=settings.features, retrain=True, qnorm=True, thread=1, verbose=0
    )
    model.save_model(str(model_path))
    return model_path
