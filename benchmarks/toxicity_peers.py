"""Peers of the toxicity classifier. They take raw text, unlike ours."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import fasttext
import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

from pipeline.training.toxicity import teacher
from pipeline.training.toxicity.sources import Row

Peer = Callable[[Sequence[str]], NDArray[np.float64]]
"""Scores texts; comparable within one peer only."""


def train_peers(rows: Sequence[Row]) -> dict[str, Peer]:
    """Return alt-profanity-check and quick models trained on these rows, by name."""
    return {
        "alt-profanity-check": teacher.scores,
        "TF-IDF": train_tf_idf(rows),
        "fastText": train_fasttext(rows),
    }


def train_tf_idf(rows: Sequence[Row]) -> Peer:
    """Train logistic regression on words, word pairs and character 3- to 5-grams."""
    texts, toxic = zip(*rows, strict=True)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)
    model = make_pipeline(make_union(words, characters), LogisticRegression(C=4, solver="liblinear"))
    model.fit(texts, toxic)
    return lambda texts: np.asarray(model.decision_function(texts), dtype=np.float64)


def train_fasttext(rows: Sequence[Row]) -> Peer:
    """Train fastText on lower-case words, word pairs and character 3- to 5-grams."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.txt"
        lines = (f"__label__{int(toxic)} {_one_line(text)}\n" for text, toxic in rows)
        path.write_text("".join(lines), "utf-8")
        model = fasttext.train_supervised(
            str(path),
            dim=16,
            epoch=5,
            lr=0.5,
            wordNgrams=2,
            minn=3,
            maxn=5,
            bucket=300_000,
            thread=1,
            verbose=0,
        )

    def scores(texts: Sequence[str]) -> NDArray[np.float64]:
        predictions = (model.f.predict(_one_line(text) + "\n", 2, 0.0, "strict") for text in texts)
        by_label = ({label: share for share, label in each} for each in predictions)
        return np.array([each.get("__label__1", 0) for each in by_label])

    return scores


def _one_line(text: str) -> str:
    return " ".join(text.lower().split())
