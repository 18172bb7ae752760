"""The quality classifier on tenths that it did not learn from: how well it does, and what it goes by.

``python benchmarks/quality.py --config configs/quality.toml [--set a.b=c …] [--kinds FILE.jsonl.gz]`` draws
the two corpora as ``jobs/train_classifier.py`` does, and holds out several random tenths of sites, books and
articles, one after the other. Prints Markdown: the recipe beside variants of it; the recipe by language, by
source and by length; and what is kept of pages of each kind, where a file of JSON lines with ``url``
and ``page_type`` says so.
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
from pipeline.filters.classifier.evaluation import measure
from pipeline.filters.classifier.model import Classifier
from pipeline.filters.classifier.stage import EVERYTHING, divide
from pipeline.filters.classifier.training import Example, train
from pipeline.spark.corpora import corpora

TENTHS = 3
"""How many are held out, one after the other."""
FEWEST = 10
"""Texts in a language, or of a kind, that figures are given for."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A text that was held out, its score, and the share of the negatives held out with it that reach it."""

    example: Example
    score: float
    rank: float


def scored(settings: ClassifierConfig, examples: Sequence[Example], tenths: int = TENTHS) -> list[Scored]:
    """The texts of several tenths, each with the score of a model that did not learn from it."""
    found = []
    for tenth in range(tenths):
        drawn = [replace(each, group=f"{tenth} {each.group or each.text}") for each in examples]
        division = divide(settings.model_copy(update={"sets": ()}), drawn)
        with tempfile.TemporaryDirectory() as working:
            classifier = Classifier(train(division.seen, settings, Path(working)))
        unseen = division.unseen[EVERYTHING]
        scores = np.array([classifier.score(each.text) for each in unseen])
        negative = np.sort(scores[[not each.positive for each in unseen]])
        ranks = 1 - np.searchsorted(negative, scores) / len(negative)
        found += [Scored(*each) for each in zip(unseen, scores.tolist(), ranks.tolist(), strict=True)]
    return found


def row(name: str, texts: Sequence[Scored], keep_share: float) -> str:
    """A line of a table, where the best negatives of all languages are kept."""
    ranks = np.array([-each.rank for each in texts])
    quality = measure([each.example for each in texts], ranks, -keep_share)
    numbers = (quality.precision, quality.recall, quality.kept, quality.roc_auc, quality.length_roc_auc)
    shown = " | ".join("" if np.isnan(number) else f"{number:.3f}" for number in numbers)
    return f"| {name} | {quality.texts:,} | {quality.positive:,} | {shown} |"


def table(title: str, groups: dict[str, list[Scored]], keep_share: float) -> None:
    print(f"\n| {title} | texts | positive | precision | recall | kept | ROC-AUC | of length alone |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for name, texts in groups.items():
        print(row(name, texts, keep_share))


def grouped(texts: Sequence[Scored], name_of: Callable[[Example], str]) -> dict[str, list[Scored]]:
    """The texts by name, the largest groups first, without those that are too small to tell."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    for each in texts:
        groups[name_of(each.example)].append(each)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return {name: members for name, members in ordered if len(members) >= FEWEST}


def variants(settings: ClassifierConfig) -> dict[str, tuple[ClassifierConfig, Callable[[Example], Example]]]:
    """By name, what is changed of the settings and of the examples."""
    return {
        "single words only": (settings.model_copy(update={"word_ngrams": 1}), lambda each: each),
        "classes balanced in all, not within languages": (settings, lambda each: replace(each, language="")),
        "texts held out one by one, near copies too": (
            settings,
            lambda each: replace(each, group=f"{each.group} {each.text}", keys=frozenset()),
        ),
    }


def report(config: Config, kinds: dict[str, str]) -> None:
    drawn_from = corpora(config)
    if drawn_from is None:
        raise ConfigError("classifier.positive.paths is empty: there must be two corpora; give both")
    settings, examples = config.classifier, drawn_from.draw()
    print(f"# The quality classifier\n\n`python benchmarks/quality.py {shlex.join(sys.argv[1:])}`")
    print(f"\n{TENTHS} random tenths; kept: the best {settings.keep_share:.0%} of negative texts in each.")
    recipe = scored(settings, examples)
    table("language", grouped(recipe, lambda each: each.language), settings.keep_share)
    table("source", grouped(recipe, lambda each: each.source), settings.keep_share)
    table("length, in quarters of all", by_length(recipe), settings.keep_share)
    pages = [each for each in recipe if not each.example.positive]
    print(f"\nRank correlation of length and score among negative texts: {correlation(pages):.2f}.")
    if kinds:
        of_kind = [each for each in pages if each.example.url in kinds]
        table("kind of page", grouped(of_kind, lambda each: kinds[each.url]), settings.keep_share)
    results = {"the recipe": recipe}
    for name, (changed, change) in variants(settings).items():
        results[name] = scored(changed, [change(each) for each in examples])
    table("variant", results, settings.keep_share)


def correlation(texts: Sequence[Scored]) -> float:
    """Spearman's, of length and score; equal ones stand in the order in which they come."""
    columns = [each.example.length for each in texts], [each.score for each in texts]
    return float(np.corrcoef(*(np.argsort(np.argsort(column)) for column in columns))[0, 1])


def by_length(texts: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The texts in four groups of equal size, from short to long."""
    ordered = sorted(texts, key=lambda each: each.example.length)
    edges = [len(ordered) * quarter // 4 for quarter in range(5)]
    parts = [ordered[start:end] for start, end in pairwise(edges)]
    return {f"up to {part[-1].example.length:,} characters": part for part in parts}


def main(arguments: Sequence[str]) -> None:
    options_of = parser(__doc__.partition("\n")[0])
    options_of.add_argument("--kinds", metavar="FILE.jsonl.gz", help="says of what kind pages are")
    options = options_of.parse_args(arguments)
    kinds = {}
    if options.kinds:
        with gzip.open(options.kinds, "rt", encoding="utf-8") as lines:
            kinds = {entry["url"]: entry["page_type"] for entry in map(json.loads, lines)}
    if config := from_options(options):
        report(config, kinds)


if __name__ == "__main__":
    run(main)
