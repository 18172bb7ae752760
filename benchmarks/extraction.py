"""Main content extraction compared with Resiliparse, trafilatura and rs-trafilatura.

``python benchmarks/extraction.py --pages PAGES.warc.gz --gold GOLD.jsonl.gz`` with the development pages of
the WCXB benchmark, or others in the same format. F1, precision and recall are computed on bags of lower-case
words, per page, and averaged. Gristmill's scores are out of fold: five folds, split by registered domain,
each evaluated with a model trained on the other four. Its speed is that of the model that ships with the
package.

Every page is processed by all extractors in turn, on one core. Speed is measured in CPU time, without
decoding. rs-trafilatura is included if it is installed (its source distribution requires Rust). Results are
written to ``benchmarks/results/extraction.md``.
"""

import argparse
import importlib
import importlib.metadata
import platform
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from core.errors import run
from pipeline.extraction.html.main_content import Model, main_content
from pipeline.extraction.html.segmentation import parse_blocks
from pipeline.extraction.normalization import normalize
from pipeline.ledger import Drop
from pipeline.training.extractor.alignment import split_words
from pipeline.training.extractor.gold import GoldPage, load_gold_pages
from pipeline.training.extractor.training import fit, label

RESULTS = Path(__file__).parent / "results" / "extraction.md"
Score = tuple[float, float, float]
Extractor = Callable[[str, str], str]
GRISTMILL = "Gristmill, default"
FOLDS = 5


def gristmill(html: str, url: str) -> str:
    """Extract the text as the pipeline does."""
    found = main_content(html, url)
    return "" if isinstance(found, Drop) else normalize(found[0])


def resiliparse(html: str, _url: str) -> str:
    """Extract the main content with Resiliparse."""
    text: str = extract_plain_text(HTMLTree.parse(html), main_content=True)
    return text


def trafilatura_default(html: str, _url: str) -> str:
    """Extract with trafilatura's defaults."""
    return trafilatura.extract(html) or ""


def trafilatura_fineweb(html: str, _url: str) -> str:
    """Extract with trafilatura's settings in the FineWeb recipe."""
    return trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=True) or ""


def extractors() -> dict[str, Extractor]:
    """Return the extractors by name and version."""
    version = importlib.metadata.version
    found: dict[str, Extractor] = {
        GRISTMILL: gristmill,
        f"resiliparse {version('resiliparse')}": resiliparse,
        f"trafilatura {version('trafilatura')}": trafilatura_default,
        f"trafilatura {version('trafilatura')} as FineWeb sets it": trafilatura_fineweb,
    }
    try:
        rust = importlib.import_module("rs_trafilatura")
    except ModuleNotFoundError:
        return found
    name = f"rs-trafilatura {version('rs-trafilatura')}"
    return {**found, name: lambda html, _url: rust.extract(html).main_content or ""}


def score(found: str, gold: str) -> Score:
    """Return F1, precision and recall of bags of words; all 1 if both are empty."""
    have, want = Counter(split_words(found)), Counter(split_words(gold))
    if not have and not want:
        return 1.0, 1.0, 1.0
    both = (have & want).total()
    if not both:
        return 0.0, 0.0, 0.0
    return 2 * both / (have.total() + want.total()), both / have.total(), both / want.total()


def assign_folds(pages: Sequence[GoldPage]) -> list[int]:
    """Return a fold for each page: all pages of a site in one fold, folds of about equal size."""
    sites = Counter(page.site for page in pages)
    sizes = [0] * FOLDS
    folds = {}
    for site, size in sorted(sites.items(), key=lambda entry: (-entry[1], entry[0])):
        folds[site] = smallest = sizes.index(min(sizes))
        sizes[smallest] += size
    return [folds[page.site] for page in pages]


def score_out_of_fold(pages: Sequence[GoldPage]) -> list[Score]:
    """Return Gristmill's scores, each page evaluated with a model that was not trained on its site."""
    folds = assign_folds(pages)
    labeled = [label(page) for page in pages]
    scores: list[Score] = [(0.0, 0.0, 0.0)] * len(pages)
    for test_fold in range(FOLDS):
        training = [page for page, fold in zip(labeled, folds, strict=True) if page and fold != test_fold]
        model = Model(fit(training))
        for index, (page, fold) in enumerate(zip(pages, folds, strict=True)):
            if fold == test_fold:
                scores[index] = score(model.main_text(parse_blocks(page.html), page.url), page.gold)
        print(f"fold {test_fold + 1} of {FOLDS} evaluated", flush=True)
    return scores


def measure(pages: Sequence[GoldPage], rounds: int) -> dict[str, tuple[list[Score], float]]:
    """Return, for each extractor, the scores and the seconds per page (median of the rounds)."""
    found = extractors()
    scores: defaultdict[str, list[Score]] = defaultdict(list)
    seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * rounds)
    for number in range(rounds):
        for page in pages:
            for name, extract in found.items():
                start = time.process_time()
                text = extract(page.html, page.url)
                seconds[name][number] += time.process_time() - start
                if not number:
                    scores[name].append(score(text, page.gold))
    return {name: (scores[name], statistics.median(seconds[name]) / len(pages)) for name in found}


def mean_scores(scores: Sequence[Score]) -> str:
    """Return mean F1, precision and recall as table cells."""
    return " | ".join(f"{statistics.mean(column):.3f}" for column in zip(*scores, strict=True))


def report(pages: Sequence[GoldPage], found: Mapping[str, tuple[list[Score], float]], command: str) -> str:
    """Return the report in Markdown."""
    baseline = next(seconds for name, (_, seconds) in found.items() if name.startswith("trafilatura"))
    characters = sum(len(page.html) for page in pages)
    lines = [
        "# Main content extraction compared with other extractors",
        "",
        f"`{command}`, {date.today()}: {len(pages)} pages of",
        f"{characters // len(pages) // 1000} thousand characters on average; Python "
        f"{platform.python_version()}. {GRISTMILL}: out of fold.",
        "",
        "| | F1 | precision | recall | pages/s | speed / trafilatura |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (scores, seconds) in found.items():
        lines.append(f"| {name} | {mean_scores(scores)} | {1 / seconds:.0f} | {baseline / seconds:.1f} |")
    types = sorted({page.page_type for page in pages})
    lines += ["", f"F1 by page type:\n\n| | {' | '.join(types)} |", f"|---|{'---:|' * len(types)}"]
    counts = Counter(page.page_type for page in pages)
    lines.append(f"| pages | {' | '.join(str(counts[page_type]) for page_type in types)} |")
    for name, (scores, _) in found.items():
        f1: defaultdict[str, list[float]] = defaultdict(list)
        for page, values in zip(pages, scores, strict=True):
            f1[page.page_type].append(values[0])
        cells = " | ".join(f"{statistics.mean(f1[page_type]):.3f}" for page_type in types)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description="Compare extractors of main content.")
    parser.add_argument("--pages", required=True, help="WARC file with the pages")
    parser.add_argument(
        "--gold", required=True, help="gzipped JSON lines with the fields url, main_content and page_type"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of timed rounds (default: 3)")
    options = parser.parse_args(arguments)
    pages = load_gold_pages(options.pages, options.gold)
    found = measure(pages, options.rounds)
    found[GRISTMILL] = score_out_of_fold(pages), found[GRISTMILL][1]
    command = f"python benchmarks/extraction.py --rounds {options.rounds} --pages … --gold …"
    text = report(pages, found, command)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main)
