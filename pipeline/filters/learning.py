"""Learning a classifier from labelled text: read, hold out, balance, train, quantize, measure.

fastText is deterministic with one thread and a seed; nothing else here is random: what is held out is decided
by a hash of the text, so that a text that occurs twice is never on both sides.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fasttext
import numpy as np
from numpy.typing import NDArray

from pipeline import storage
from pipeline.config import Classifier as Settings
from pipeline.config import LabelledText
from pipeline.errors import InputError
from pipeline.filters.classifier import NEGATIVE, POSITIVE, Classifier, prepare

THRESHOLD = 0.5
"""Where precision and recall are taken."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text, prepared, and whether it is positive."""

    text: str
    positive: bool


@dataclass(frozen=True, slots=True)
class Quality:
    """How well scores tell positive from negative texts."""

    texts: int
    positive: int
    precision: float
    recall: float
    roc_auc: float


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
        examples.append(Example(prepare(row[text]), any(row[label] in labelled.positive for label in labels)))
    return [example for example in examples if example.text]


def _text(path: str) -> str:
    data = storage.read_bytes(path)
    try:
        return (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error}); replace the file") from None


def hold_out(examples: Sequence[Example], one_in: int) -> tuple[list[Example], list[Example]]:
    """Split into examples to learn from and examples to measure on, by a hash of the text."""
    parts: tuple[list[Example], list[Example]] = ([], [])
    for example in examples:
        digest = hashlib.blake2b(example.text.encode(), digest_size=8).digest()
        parts[int.from_bytes(digest, "big") % one_in == 0].append(example)
    return parts


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


def train(examples: Sequence[Example], settings: Settings, folder: Path) -> Path:
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
        minn=settings.shortest_fragment,
        maxn=settings.longest_fragment,
        bucket=settings.buckets,
        minCount=2,
        seed=settings.seed,
        thread=1,
        verbose=0,
    )
    model.quantize(
        input=str(text_path), cutoff=settings.features, retrain=True, qnorm=True, thread=1, verbose=0
    )
    model.save_model(str(model_path))
    return model_path


def measure(classifier: Classifier, examples: Sequence[Example]) -> Quality:
    """Precision and recall at :data:`THRESHOLD`, and the area under the ROC curve.

    A ratio without a denominator is NaN: no positives found, none there, or only one class there.
    """
    scores = np.array([classifier.score(example.text) for example in examples])
    truth = np.array([example.positive for example in examples], dtype=bool)
    found = scores >= THRESHOLD
    hits = int((found & truth).sum())
    return Quality(
        texts=len(examples),
        positive=int(truth.sum()),
        precision=hits / int(found.sum()) if found.any() else float("nan"),
        recall=hits / int(truth.sum()) if truth.any() else float("nan"),
        roc_auc=roc_auc(scores, truth),
    )


def roc_auc(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative, ties counting half (Mann and Whitney 1947)."""
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    _, groups, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    mean_rank = last_rank - (counts - 1) / 2
    rank_sum = float(mean_rank[groups][truth].sum())
    return (rank_sum - positive * (positive + 1) / 2) / (positive * negative)
