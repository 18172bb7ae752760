"""Training of a classifier on labelled text: read, hold out, balance, train, quantize.

The result is deterministic: fastText with one thread and a seed is, and held-out texts are chosen by a hash
of the text or of its group. Identical texts are therefore never on both sides of the split.
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
from core.config import ClassifierConfig, LabelledSetConfig
from core.errors import InputError
from pipeline.filters.classifier.model import NEGATIVE, POSITIVE, prepare

MIN_LANGUAGE_TEXTS = 20
"""Training texts that both corpora must have in a language for it to be trained on. With fewer, the
classifier would learn to identify the language."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prepared text and its label."""

    text: str
    positive: bool
    language: str = ""
    source: str = ""
    url: str = ""
    group: str = ""
    """Texts of one group are all trained on or all held out. Empty: the text is its own group."""
    keys: frozenset[int] = frozenset()
    """MinHash band hashes; near duplicates share at least one."""
    length: int = 0
    """Characters of the text before preparation."""


@dataclass(frozen=True, slots=True)
class Corpora:
    """A positive and a negative corpus, read on demand."""

    inputs: list[str]
    """Identify the contents of the corpora; they change when the contents do."""
    draw: Callable[[], list[Example]]
    """Reads a sample of both."""


def read_set(folder: str, labelled: LabelledSetConfig) -> list[Example]:
    """Read the examples of one labelled set as :func:`read_rows` does; texts without words are left out."""
    rows = read_rows(folder, labelled)
    examples = [Example(prepare(text), positive, length=len(text)) for text, positive in rows]
    return [example for example in examples if example.text]


def read_rows(folder: str, labelled: LabelledSetConfig) -> list[tuple[str, bool]]:
    """Read the texts of one labelled set, unprepared, each with True if it is positive.

    Raises :class:`InputError` for a missing file, a file that is not text, or a missing column.
    """
    path = storage.join(folder, labelled.path)
    rows = csv.reader(
        io.StringIO(_read_text(path), newline=""),
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
    found = []
    for row in rows:
        if len(row) != len(columns):
            raise InputError(
                f"{path}: line {rows.line_num} has {len(row)} fields, but there are {len(columns)} columns; "
                "correct delimiter, quoted or columns in classifier.sets"
            )
        found.append((row[text], any(row[label] in labelled.positive for label in labels)))
    return found


def _read_text(path: str) -> str:
    data = storage.read_bytes(path)
    try:
        return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error}); replace the file") from None


def hold_out(examples: Sequence[Example], fraction: float) -> tuple[list[Example], list[Example]]:
    """Split examples into training and held-out examples, by a hash of their group.

    Held-out examples that are near duplicates of training examples are dropped.
    """
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        parts[_uniform(example.group or example.text) < fraction].append(example)
    training, held_out = parts
    keys = frozenset().union(*(example.keys for example in training))
    return training, [example for example in held_out if keys.isdisjoint(example.keys)]


def _uniform(key: str) -> float:
    """Hash ``key`` to a number in [0, 1), with the hash's lowest decimal digit first."""
    digest = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")
    rest, digit = divmod(digest, 10)
    return (digit + rest / (2**64 / 10)) / 10


def balance(examples: Sequence[Example], per_class: int, seed: int) -> list[Example]:
    """Return ``per_class`` random examples of each class; a smaller class is repeated as often as needed.

    Raises :class:`InputError` if a class has no examples.
    """
    chosen = []
    generator = np.random.default_rng(seed)
    for positive in (False, True):
        members = [example for example in examples if example.positive is positive]
        if not members:
            label = "positive" if positive else "negative"
            raise InputError(f"no {label} examples to train on; correct positive in classifier.sets")
        rounds = -(-per_class // len(members))
        order = np.concatenate([generator.permutation(len(members)) for _ in range(rounds)])
        chosen += [members[index] for index in order[:per_class].tolist()]
    return chosen


def shuffle(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return the examples in an order that depends only on the seed and their number."""
    return [examples[index] for index in np.random.default_rng(seed).permutation(len(examples)).tolist()]


def train(examples: Sequence[Example], settings: ClassifierConfig, folder: Path) -> Path:
    """Train on the examples in their order, quantize and save the model.

    Returns the model's path in ``folder``, which also receives working files.
    """
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
