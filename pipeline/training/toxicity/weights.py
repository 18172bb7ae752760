"""Word weights: rounded weights of linear models over words, written to ``data/word_weights.txt``."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from core.resources import read_text
from pipeline.filters.classifier.model import split_words
from pipeline.filters.toxicity import word_lists
from pipeline.filters.toxicity.categories import Category
from pipeline.filters.toxicity.deobfuscate import deobfuscate
from pipeline.training.toxicity import teacher
from pipeline.training.toxicity.sources import Row, clean_texts, labelled_sets, training_rows

HEADER = """\
# Weights of single words in the log-odds that a text is toxic: language, weight, words. Written by
# `python -m pipeline.training.toxicity weights`. English: weights of alt-profanity-check 1.9.1 (MIT License,
# copyright 2018 Victor Zhou, 2021 Menelaos Kotoglou and Dimitrios Mistriotis) times inverse document
# frequency. German and Portuguese: weights of logistic regressions on GermEval 2018 (CC-BY-4.0) and ToLD-BR
# (CC-BY-SA-4.0). Weights near zero, names, groups and harmless words are left out.
"""
WEIGHTED_HARMLESS = frozenset(("suck", "sucks", "hell", "balls", "tosser"))
"""Words listed as harmless that have a weight nevertheless."""

_LATIN = re.compile("[a-zà-ÿ]+")


def write_weights(data: Path, to: Path) -> None:
    """Fit the weights and write them. No held-out text contributes. Takes 15 s."""
    rows = {name: training_rows(each) for name, each in labelled_sets(data / "toxicity").items()}
    english = lower_case_words([*chain(*clean_texts(data).values()), *(text for text, _ in rows["davidson"])])
    brazilian = lower_case_words(text for text, _ in rows["told-br"])
    fitted = (
        ("en", _only(teacher.log_odds_weights(), english), 1),
        ("de", fit_weights(rows["germeval"]), 2),
        ("pt", _only(fit_weights(rows["told-br"]), brazilian), 2),
    )
    lists = word_lists.load()
    excluded = set(lists.harmless - WEIGHTED_HARMLESS)
    unweighted = word_lists.parse_words(read_text("pipeline.training.toxicity", "data/unweighted.txt"))
    excluded.update(*unweighted.values())
    lines = [
        f"{code} {weight}: {' '.join(words)}"
        for code, weights, minimum in fitted
        for weight, words in by_weight(
            weights, minimum, excluded | lists.by_category[Category.GROUP][code]
        ).items()
    ]
    to.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


def fit_weights(rows: Sequence[Row]) -> dict[str, float]:
    """Return what each word adds to the log-odds, by logistic regression on the TF-IDF vectors of texts."""
    texts = [" ".join(split_words(deobfuscate(text))) for text, _ in rows]
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", min_df=3, sublinear_tf=True)
    model = LogisticRegression(C=2, class_weight="balanced", solver="liblinear")
    model.fit(vectorizer.fit_transform(texts), [toxic for _, toxic in rows])
    weights = model.coef_[0] * vectorizer.idf_ / teacher.TYPICAL_NORM
    return dict(zip(vectorizer.get_feature_names_out(), weights.tolist(), strict=True))


def by_weight(weights: Mapping[str, float], minimum: float, excluded: set[str]) -> dict[int, list[str]]:
    """Return words by rounded weight, in descending order.

    Words of other scripts than Latin, excluded words and absolute weights below ``minimum`` are left out.
    """
    found: dict[int, list[str]] = {}
    for word, weight in weights.items():
        if abs(weight) >= minimum and word not in excluded and _LATIN.fullmatch(word):
            found.setdefault(round(weight), []).append(word)
    return {weight: sorted(found[weight]) for weight in sorted(found, reverse=True)}


def lower_case_words(texts: Iterable[str]) -> set[str]:
    """Return the words that are in lower case at least every other time, and so are not names."""
    counts = Counter(word for text in texts for word in re.findall(r"[^\W\d_]+", text))
    balance: Counter[str] = Counter()
    for word, count in counts.items():
        balance[word.lower()] += count if word[0].islower() else -count
    return {word for word, surplus in balance.items() if surplus >= 0}


def _only(weights: Mapping[str, float], words: set[str]) -> dict[str, float]:
    return {word: weight for word, weight in weights.items() if word in words}
