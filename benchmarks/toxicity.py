"""The toxicity classifier compared with peers on labelled texts, and its false positives on clean text.

``python benchmarks/toxicity.py DATA SETS`` prints the tables of results/toxicity.md. SETS is written by
``python -m pipeline.training.toxicity sets DATA SETS``. Trains four models of ours, and TF-IDF and fastText
five times each. Needs the extra ``toxicity``.
"""

import argparse
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.toxicity_peers import Peer, train_peers
from core.config import ServeConfig, load
from core.errors import run
from pipeline.filters import toxicity
from pipeline.filters.classifier.evaluation import roc_auc
from pipeline.filters.toxicity import calibration
from pipeline.training.texts import MIN_DOCUMENT_CHARACTERS, documents, passages
from pipeline.training.toxicity.calibration import (
    EvaluationSet,
    evaluation_set,
    fit_calibration,
    held_out_sets,
    left_out_sets,
    shipped_model,
)
from pipeline.training.toxicity.context import prose
from pipeline.training.toxicity.sources import TITLES, Row, is_held_out, labelled_sets, training_rows

CASES = Path(__file__).parent / "data/toxicity-cases.toml"
CONFIG = Path(__file__).parents[1] / "configs/toxicity.toml"
CLEAN = (
    ("Wikipedia, English", "wiki/enwiki-shortened.xml.bz2", True),
    ("Wikipedia, Italian", "wiki/itwiki-small.xml.gz", False),
    ("Wikipedia, Latgalian", "wiki/ltgwiki-small.xml.bz2", False),
    ("Web pages, English", "warc/pages-wcxb-dev.warc.gz", False),
    ("Web pages, some 45 languages", "warc/pages-mixed.warc.gz", True),
)
"""Name, path, and True if half of it was trained on."""
LINES = Path(__file__).parents[1] / "tests/serve/safety"
"""Folder with files of single lines: language, category and text."""
LINE_FILES = (
    ("Harmless, tuned on", "harmless_lines.tsv"),
    ("Harmless, tuned on later", "harmless_lines_2.tsv"),
    ("Harmless, others", "harmless_lines_3.tsv"),
    ("Abusive", "abusive_lines.tsv"),
)
THRESHOLD = 0.5
CLEAN_THRESHOLDS = (0.4, 0.45, 0.5, 0.55, 0.6)

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """An evaluation set and the peers' scores by name."""

    ours: EvaluationSet
    peers: dict[str, Scores]


def compare(ours: EvaluationSet, rows: Sequence[Row], peers: Mapping[str, Peer]) -> Comparison:
    """Score an evaluation set's rows by the peers."""
    texts = [text for text, _ in rows]
    return Comparison(ours, {name: peer(texts) for name, peer in peers.items()})


def compare_held_out(sets: Mapping[str, list[Row]]) -> Iterator[Comparison]:
    """Compare on the held-out tenth of every set. The peers are trained on the same nine tenths."""
    peers = train_peers([row for name in TITLES for row in training_rows(sets[name])])
    for name, ours in zip(TITLES, held_out_sets(sets), strict=True):
        yield compare(ours, [row for row in sets[name] if is_held_out(row[0])], peers)
    model = shipped_model()
    yield compare(evaluation_set("OLID, not trained on", sets["olid"], model), sets["olid"], peers)
    for language, table in tomllib.loads(CASES.read_text(encoding="utf-8")).items():
        rows = [(text, label == "toxic") for label, texts in table.items() for text in texts]
        yield compare(evaluation_set(f"Cases, {language}", rows, model), rows, peers)


def compare_left_out(
    sets: Mapping[str, list[Row]], folder: Path, sentences: Sequence[str]
) -> Iterator[Comparison]:
    """Compare on every set in full, by models that were trained on the others."""
    config = load(str(CONFIG), [f"classifier.folder={folder}"])
    for name, ours in zip(TITLES, left_out_sets(sets, config, sentences), strict=True):
        peers = train_peers([row for other in TITLES if other != name for row in training_rows(sets[other])])
        yield compare(ours, sets[name], peers)


def clean_scores(data: Path) -> Iterator[tuple[str, bool, list[float]]]:
    """Yield name, whether half was trained on, and ascending document scores of each clean corpus.

    Books are scored in passages; only books that were not trained on.
    """
    scorer = toxicity.load()
    for folder in sorted((data / "books").iterdir()):
        texts = [text for path in sorted(folder.iterdir())[1::2] for text in passages(str(path))]
        yield f"Books, {folder.name}, in passages", False, sorted(scorer.scores(texts))
    for name, path, trained_on in CLEAN:
        texts = [text for text in documents(str(data / path)) if len(text) >= MIN_DOCUMENT_CHARACTERS]
        yield name, trained_on, sorted(scorer.scores(texts))


def print_comparisons(comparisons: Sequence[Comparison]) -> None:
    """Print precision and recall of ours, also at the server's threshold, and the ROC-AUC of all."""
    served = ServeConfig().toxicity
    names = list(comparisons[0].peers)
    columns = ["Text", "Texts", "Positive", "Precision", "Recall", f"Recall at {served}", "ROC-AUC", *names]
    print(f"\n| {' | '.join(columns)} |")
    print("|---|" + "---:|" * (6 + len(names)))
    for each in comparisons:
        toxic = each.ours.toxic
        scores = np.array([calibration.load().probability(rows) for rows in each.ours.evidence])
        found, hits = scores > THRESHOLD, (scores > THRESHOLD) & toxic
        areas = [roc_auc(column, toxic) for column in (scores, *each.peers.values())]
        print(
            f"| {each.ours.name} | {len(scores):,} | {toxic.sum():,} | {hits.sum() / found.sum():.3f} "
            f"| {hits.sum() / toxic.sum():.3f} | {(scores > served)[toxic].mean():.3f} "
            f"| {' | '.join(f'{area:.3f}' for area in areas)} |"
        )


def print_false_positives(data: Path) -> None:
    """Print the share of clean documents above each threshold."""
    columns = " | ".join(f"> {threshold}, ‰" for threshold in CLEAN_THRESHOLDS)
    print(f"\n| Clean text | Documents | {columns} | Highest |")
    print("|---|---:" + "|---:" * len(CLEAN_THRESHOLDS) + "|---:|")
    for name, trained_on, scores in clean_scores(data):
        rates = (
            f"{1000 * sum(score > threshold for score in scores) / len(scores):.2f}"
            for threshold in CLEAN_THRESHOLDS
        )
        note = " (half trained on)" if trained_on else ""
        print(f"| {name}{note} | {len(scores):,} | {' | '.join(rates)} | {scores[-1]:.2f} |", flush=True)


def print_refused_lines() -> None:
    """Print how many single lines by language are above the server's threshold."""
    languages = ("en", "de", "fr", "es", "pt")
    print(f"\n| Lines above {ServeConfig().toxicity} | Lines | Refused | {' | '.join(languages)} |")
    print("|---" + "|---:" * (2 + len(languages)) + "|")
    for name, file in LINE_FILES:
        rows = [row.split("\t") for row in (LINES / file).read_text("utf-8").splitlines()]
        refused = Counter(
            language for language, _, text in rows if toxicity.score(text) > ServeConfig().toxicity
        )
        counts = " | ".join(str(refused[language]) for language in languages)
        print(f"| {name} | {len(rows)} | {refused.total()} | {counts} |")


def main(arguments: Sequence[str]) -> None:
    """Print the shipped calibration, the one refitted on the same texts, and the tables."""
    parser = argparse.ArgumentParser(description="The toxicity classifier compared with peers.")
    parser.add_argument("data", type=Path, metavar="DATA", help="folder with the source data")
    parser.add_argument("sets", type=Path, metavar="SETS", help="folder with the training sets")
    options = parser.parse_args(arguments)
    sets = labelled_sets(options.data / "toxicity")
    held_out = list(compare_held_out(sets))
    left_out = list(compare_left_out(sets, options.sets, prose(options.data)))
    labelled = [each.ours for each in held_out if each.ours.name in TITLES.values()]
    refitted = fit_calibration([*labelled, *(each.ours for each in left_out)])
    print(f"Calibration: shipped {asdict(calibration.load())}, refitted {asdict(refitted)}.")
    print_comparisons([*held_out, *left_out])
    print_refused_lines()
    print_false_positives(options.data)


if __name__ == "__main__":
    run(main)
