"""Context weights: a linear model of the words around those that may offend, ``data/context_weights.txt``.

It is trained on passages in which words that may offend are placeholders. Offending ones are the toxic texts
of the labelled sets, the hateful templates and short insults. Neutral ones are the other texts and templates,
clean prose in which a random word is the placeholder, and sentences of the grammar ``data/neutral.toml``:
questions, definitions, recipes, names, code and others, with any listed word.
"""

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from core.resources import read_toml
from pipeline.filters.toxicity import context, word_lists
from pipeline.filters.toxicity.categories import Category
from pipeline.filters.toxicity.context import PLACEHOLDER, WEIGHTS_PER_UNIT, ContextWeights
from pipeline.filters.toxicity.scoring import passages
from pipeline.training.toxicity.sets import SENTENCE, filled_templates, offensive_words
from pipeline.training.toxicity.sources import Row, clean_texts, training_rows

HEADER = """\
# Weights of the words around a word that may offend ("*"), in tenths of the log-odds that a passage uses it
# to offend: weight, features. A feature is a word, a pair or a triple of words joined by "_"; "<" and ">" are
# the boundaries of the passage. The first line is the intercept. Written by
# `python -m pipeline.training.toxicity context`, from the sources in models/toxicity.md (CC-BY-SA-4.0).
"""
LABELLED = ("davidson", "germeval", "told-br")
"""Labelled sets in Latin script."""
NEUTRAL_SENTENCES, INSULTS = 24_000, 3000
"""Sentences of the grammar per language."""
HOSTILE_SHARE = 0.3
"""Share of the neutral sentences with hostile words instead of obscene words, insults or slurs."""
PROSE_SENTENCES = 12_000
"""Clean sentences per source."""
PROSE_LANGUAGES = ("en", "de", "fr", "es", "pt", "it", "nl")
REPLACED_SHARE = 0.7
"""Share of the clean sentences in which a random word becomes a placeholder."""
WEIGHT_PER_CLASS = 24_000
"""Weight of all toxic texts of a labelled set, in sentences."""
HARMLESS_SHARE = 0.1
"""Weight of its harmless texts, as a share of that. Most neutral sentences come from the grammar."""
REGULARIZATION, MIN_COUNT, MIN_WEIGHT = 0.3, 3, 0.2
"""Inverse strength of the penalty; occurrences and absolute weight from which a feature is kept."""

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass
class _Examples:
    """Features, labels and weights of passages."""

    features: list[list[str]] = field(default_factory=list)
    offends: list[bool] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, found: Sequence[Sequence[str]], *, offends: bool, weight: float) -> None:
        """Add generalized passages."""
        self.features += [context.features(words) for words in found if words]
        self.offends += [offends] * (len(self.features) - len(self.offends))
        self.weights += [weight] * (len(self.features) - len(self.weights))


def write_context(data: Path, sets: Mapping[str, Sequence[Row]], to: Path) -> None:
    """Fit the weights and write them. No held-out text contributes. Takes a minute."""
    intercept, weights = fit(sets, prose(data))
    by_weight: dict[int, list[str]] = {}
    for feature, weight in weights.items():
        by_weight.setdefault(round(weight * WEIGHTS_PER_UNIT), []).append(feature)
    lines = [f"{weight}: {' '.join(sorted(by_weight[weight]))}\n" for weight in sorted(by_weight)]
    to.write_text(f"{HEADER}{round(intercept * WEIGHTS_PER_UNIT)}:\n{''.join(lines)}", encoding="utf-8")


def fit_context(sets: Mapping[str, Sequence[Row]], sentences: Sequence[str]) -> ContextWeights:
    """Return the weights fitted on the given labelled sets and clean sentences."""
    return ContextWeights(*fit(sets, sentences))


def prose(data: Path) -> list[str]:
    """Return clean sentences of books, Wikipedia, web pages and the sets for language identification."""
    rng, found = random.Random(3), []
    for texts in clean_texts(data).values():
        sentences = {sentence.strip() for text in texts for sentence in SENTENCE.split(text)}
        usual = sorted(sentence for sentence in sentences if 20 < len(sentence) < 250)
        found += rng.sample(usual, min(PROSE_SENTENCES, len(usual)))
    for code in PROSE_LANGUAGES:
        found += (data / f"langid/sentences/{code}.txt").read_text("utf-8").splitlines()
    return found


def fit(sets: Mapping[str, Sequence[Row]], sentences: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Return intercept and weights of a logistic regression on the presence of features."""
    examples, rng = _Examples(), random.Random(4)
    for name in (name for name in LABELLED if name in sets):
        _add_labelled(examples, training_rows(sets[name]))
    templates = list(filled_templates(random.Random(1)))
    for offends in (True, False):
        words = [_generalized(text) for text, toxic in templates if toxic is offends]
        examples.add(words, offends=offends, weight=0.5)
    examples.add([_generalized(text) for text in neutral_sentences(rng)], offends=False, weight=1)
    examples.add([_generalized(text) for text in insults(rng)], offends=True, weight=2)
    examples.add(
        [_with_placeholder(_generalized(each), rng) for each in sentences], offends=False, weight=0.5
    )
    vectorizer = CountVectorizer(analyzer=list, min_df=MIN_COUNT, binary=True)
    model = LogisticRegression(C=REGULARIZATION, solver="liblinear")
    model.fit(vectorizer.fit_transform(examples.features), examples.offends, np.array(examples.weights))
    weights = zip(vectorizer.get_feature_names_out(), model.coef_[0].tolist(), strict=True)
    return float(model.intercept_[0]), {name: value for name, value in weights if abs(value) >= MIN_WEIGHT}


def neutral_sentences(rng: random.Random) -> Iterator[str]:
    """Yield random neutral sentences of every language of the grammar."""
    hostile = word_lists.load().by_category[Category.HOSTILITY]
    for language, rules in _grammar().items():
        pools = (sorted(hostile[language]), offensive_words()[language])
        for _ in range(NEUTRAL_SENTENCES):
            yield _expand(rng.choice(rules["neutral"]), rules, pools[rng.random() >= HOSTILE_SHARE], rng)


def insults(rng: random.Random) -> Iterator[str]:
    """Yield random short insults of every language of the grammar."""
    for language, rules in _grammar().items():
        words = offensive_words()[language]
        yield from (_expand(rng.choice(rules["insulting"]), rules, words, rng) for _ in range(INSULTS))


def _grammar() -> dict[str, dict[str, list[str]]]:
    return read_toml("pipeline.training.toxicity", "data/neutral.toml")


def _expand(
    template: str, rules: Mapping[str, Sequence[str]], words: Sequence[str], rng: random.Random
) -> str:
    """Replace every slot by a random entry, and the slots of the entry likewise."""

    def fill(match: re.Match[str]) -> str:
        if match[1] in ("w", "w2"):
            return rng.choice(words)
        return _SLOT.sub(fill, rng.choice(rules[match[1]]))

    return _SLOT.sub(fill, template)


def _add_labelled(examples: _Examples, rows: Sequence[Row]) -> None:
    """Add the texts of a labelled set that have a word that may offend."""
    generalized = [(_generalized(text), toxic) for text, toxic in rows]
    for offends, total in ((True, WEIGHT_PER_CLASS), (False, WEIGHT_PER_CLASS * HARMLESS_SHARE)):
        found = [words for words, toxic in generalized if toxic is offends and PLACEHOLDER in words]
        examples.add(found, offends=offends, weight=total / max(len(found), 1))


def _generalized(text: str) -> list[str]:
    """Return the words of the first passage of a text, with placeholders."""
    first = next(passages(text), None)
    return context.generalize(first.words, first.language) if first else []


def _with_placeholder(words: list[str], rng: random.Random) -> list[str]:
    """Replace a random long word, unless there is a placeholder; leave some sentences as they are."""
    if PLACEHOLDER in words or rng.random() > REPLACED_SHARE:
        return words
    long = [index for index, word in enumerate(words) if len(word) > 3]
    if long:
        words[rng.choice(long)] = PLACEHOLDER
    return words
