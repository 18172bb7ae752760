"""Other models than ours of what is toxic: to compare with, to be taught by, and to take words' grades from.

They see texts as they are. alt-profanity-check comes taught: by Wikipedia's talk pages and Davidson's set.
"""

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fasttext
import numpy as np
import profanity_check.profanity_check as teacher
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union

Row = tuple[str, bool]
Judge = Callable[[Sequence[str]], NDArray[np.float64]]

_LATIN = re.compile("[a-zà-ÿ]+")
LENGTH = 6.5
"""Of the TF-IDF vector of a text, its share that a common word has: what scales weights to log-odds."""


def peers(rows: Sequence[Row]) -> dict[str, Judge]:
    """By name alt-profanity-check and quick models that learned from these rows."""
    return {
        "alt-profanity-check": alt_profanity_check,
        "TF-IDF": tf_idf(rows),
        "fastText": plain_fasttext(rows),
    }


def alt_profanity_check(texts: Sequence[str]) -> NDArray[np.float64]:
    """Its chances of being toxic."""
    return np.array(teacher.predict_prob(list(texts)))


def tf_idf(rows: Sequence[Row]) -> Judge:
    """Logistic regression on words, pairs of them and their parts of 3 to 5 characters."""
    texts, toxic = zip(*rows, strict=True)
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    parts = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=2, sublinear_tf=True)
    model = make_pipeline(make_union(words, parts), LogisticRegression(C=4, solver="liblinear"))
    return model.fit(texts, toxic).decision_function


def plain_fasttext(rows: Sequence[Row]) -> Judge:
    """fastText on lower-cased text, pairs of words and parts of 3 to 5 characters."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.txt"
        path.write_text("".join(f"__label__{int(toxic)} {line(text)}\n" for text, toxic in rows), "utf-8")
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

    def judge(texts: Sequence[str]) -> NDArray[np.float64]:
        found = (model.f.predict(line(text) + "\n", 2, 0.0, "strict") for text in texts)
        return np.array([{label: share for share, label in each}.get("__label__1", 0) for each in found])

    return judge


def line(text: str) -> str:
    """The text in lower case, on one line."""
    return " ".join(text.lower().split())


def weights_of_teacher() -> dict[str, float]:
    """What a word adds to the margin in alt-profanity-check: of its models the mean."""
    folds = [fold.estimator.coef_[0] for fold in teacher.model.calibrated_classifiers_]
    return dict(zip(teacher.vectorizer.get_feature_names_out(), np.mean(folds, axis=0).tolist(), strict=True))


def grades_of_teacher() -> dict[str, float]:
    """What a word adds there to the log-odds of a text of usual length."""
    slope = -np.mean([fold.calibrators[0].a_ for fold in teacher.model.calibrated_classifiers_])
    rarity = dict(zip(teacher.vectorizer.get_feature_names_out(), teacher.vectorizer.idf_, strict=True))
    return {word: slope * weight * rarity[word] / LENGTH for word, weight in weights_of_teacher().items()}


def grades_of(rows: Sequence[Row]) -> dict[str, float]:
    """What a word adds to the log-odds, by logistic regression on the words of prepared texts."""
    texts, toxic = zip(*rows, strict=True)
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", min_df=3, sublinear_tf=True)
    model = LogisticRegression(C=2, class_weight="balanced", solver="liblinear")
    weights = model.fit(vectorizer.fit_transform(texts), toxic).coef_[0] * vectorizer.idf_ / LENGTH
    return dict(zip(vectorizer.get_feature_names_out(), weights.tolist(), strict=True))


def whole(grades: Mapping[str, float], least: float, without: set[str]) -> dict[int, list[str]]:
    """Words by their grade as a whole number, if it is as high or low and they shall have one."""
    found: dict[int, list[str]] = {}
    for word, grade in grades.items():
        if abs(grade) >= least and word not in without and _LATIN.fullmatch(word):
            found.setdefault(round(grade), []).append(word)
    return {grade: sorted(found[grade]) for grade in sorted(found, reverse=True)}
