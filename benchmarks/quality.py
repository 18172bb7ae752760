"""The quality classifier on held-out texts: accuracy, and what the score depends on.

``python benchmarks/quality.py --config configs/quality.toml [--set a.b=c …] [--kinds FILE.jsonl.gz]`` draws
the two corpora as ``jobs/train_classifier.py`` does, and holds out several random tenths of sites, books and
articles in turn. Prints Markdown tables: the recipe next to variants of it; the recipe by language, by source
and by length; and the share kept by type of page, if a file of JSON lines with ``url`` and ``page_type`` is
given.
"""

import gzip
import json
import shlex
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from core.config import ClassifierConfig, Config, from_options, parser
from core.errors import ConfigError, run
from pipeline.filters.classifier.evaluation import evaluate
from pipeline.filters.classifier.model import Classifier
from pipeline.filters.classifier.stage import BOTH_CORPORA, split_examples
from pipeline.filters.classifier.training import Example, train
from pipeline.spark.corpora import corpora

FOLDS = 3
"""Number of random tenths that are held out in turn."""
MIN_GROUP_SIZE = 10
"""Texts that a language, source or type of page must have to be shown."""


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A held-out text and its score."""

    example: Example
    score: float
    rank: float
    """Share of the negative texts held out with it that reach its score."""


def score_folds(
    settings: ClassifierConfig, examples: Sequence[Example], folds: int = FOLDS
) -> list[ScoredText]:
    """Score the held-out texts of several folds, each by a model that was not trained on it."""
    scored = []
    for fold in range(folds):
        drawn = [replace(each, group=f"{fold} {each.group or each.text}") for each in examples]
        split = split_examples(settings.model_copy(update={"sets": ()}), drawn)
        with tempfile.TemporaryDirectory() as working:
            classifier = Classifier(train(split.training, settings, Path(working)))
        held_out = split.held_out[BOTH_CORPORA]
        scores = np.array([classifier.score(each.text) for each in held_out])
        negative = np.sort(scores[[not each.positive for each in held_out]])
        ranks = 1 - np.searchsorted(negative, scores) / len(negative)
        scored += [ScoredText(*each) for each in zip(held_out, scores.tolist(), ranks.tolist(), strict=True)]
    return scored


def table_row(name: str, texts: Sequence[ScoredText], keep_share: float) -> str:
    """Format a row; the best ``keep_share`` of the negative texts of all languages are kept."""
    ranks = np.array([-each.rank for each in texts])
    metrics = evaluate([each.example for each in texts], ranks, -keep_share)
    numbers = (metrics.precision, metrics.recall, metrics.kept, metrics.roc_auc, metrics.length_roc_auc)
    cells = " | ".join("" if np.isnan(number) else f"{number:.3f}" for number in numbers)
    return f"| {name} | {metrics.texts:,} | {metrics.positive:,} | {cells} |"


def print_table(title: str, groups: dict[str, list[ScoredText]], keep_share: float) -> None:
    print(f"\n| {title} | texts | positive | precision | recall | kept | ROC-AUC | of length alone |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name, texts in groups.items():
        print(table_row(name, texts, keep_share))


def group_by(texts: Sequence[ScoredText], key: Callable[[Example], str]) -> dict[str, list[ScoredText]]:
    """Group the texts, the largest group first; groups below :data:`MIN_GROUP_SIZE` are left out."""
    groups: dict[str, list[ScoredText]] = defaultdict(list)
    for each in texts:
        groups[key(each.example)].append(each)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return {name: members for name, members in ordered if len(members) >= MIN_GROUP_SIZE}


def variants(settings: ClassifierConfig) -> dict[str, tuple[ClassifierConfig, Callable[[Example], Example]]]:
    """Return, by name, the changed settings and a change of each example."""
    return {
        "single words only": (settings.model_copy(update={"word_ngrams": 1}), lambda each: each),
        "classes balanced in all, not within languages": (settings, lambda each: replace(each, language="")),
        "texts held out one by one, near copies too": (
            settings,
            lambda each: replace(each, group=f"{each.group} {each.text}", keys=frozenset()),
        ),
    }


def report(config: Config, page_types: dict[str, str]) -> None:
    """Print all tables."""
    drawn_from = corpora(config)
    if drawn_from is None:
        raise ConfigError("classifier.positive.paths is empty: two corpora are needed; set both")
    settings, examples = config.classifier, drawn_from.draw()
    print(f"# The quality classifier\n\n`python benchmarks/quality.py {shlex.join(sys.argv[1:])}`")
    print(f"\n{FOLDS} random tenths; kept: the best {settings.keep_share:.0%} of negative texts in each.")
    recipe = score_folds(settings, examples)
    print_table("language", group_by(recipe, lambda each: each.language), settings.keep_share)
    print_table("source", group_by(recipe, lambda each: each.source), settings.keep_share)
    print_table("length, in quarters of all", by_length(recipe), settings.keep_share)
    negative = [each for each in recipe if not each.example.positive]
    correlation = length_score_correlation(negative)
    print(f"\nRank correlation of length and score among negative texts: {correlation:.2f}.")
    if page_types:
        typed = [each for each in negative if each.example.url in page_types]
        print_table("kind of page", group_by(typed, lambda each: page_types[each.url]), settings.keep_share)
    results = {"the recipe": recipe}
    for name, (changed, change) in variants(settings).items():
        results[name] = score_folds(changed, [change(each) for each in examples])
    print_table("variant", results, settings.keep_share)


def length_score_correlation(texts: Sequence[ScoredText]) -> float:
    """Return Spearman's rank correlation of length and score; ties are ranked in their order."""
    lengths, scores = [each.example.length for each in texts], [each.score for each in texts]
    return float(np.corrcoef(np.argsort(np.argsort(lengths)), np.argsort(np.argsort(scores)))[0, 1])


def by_length(texts: Sequence[ScoredText]) -> dict[str, list[ScoredText]]:
    """Split the texts into quartiles of length."""
    ordered = sorted(texts, key=lambda each: each.example.length)
    edges = [len(ordered) * quarter // 4 for quarter in range(5)]
    parts = [ordered[start:end] for start, end in pairwise(edges)]
    return {f"up to {part[-1].example.length:,} characters": part for part in parts}


def main(arguments: Sequence[str]) -> None:
    command_line = parser("The quality classifier on held-out texts.")
    command_line.add_argument("--kinds", metavar="FILE.jsonl.gz", help="types of pages by address")
    options = command_line.parse_args(arguments)
    page_types = {}
    if options.kinds:
        with gzip.open(options.kinds, "rt", encoding="utf-8") as lines:
            page_types = {entry["url"]: entry["page_type"] for entry in map(json.loads, lines)}
    if config := from_options(options):
        report(config, page_types)


if __name__ == "__main__":
    run(main)
