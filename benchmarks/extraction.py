"""Main content from real pages: ours beside Resiliparse, trafilatura and rs-trafilatura.

``python benchmarks/extraction.py --pages PAGES.warc.gz --gold GOLD.jsonl.gz`` with the development pages of
the WCXB benchmark (or any like it). F1, precision and recall are of bags of lower-cased words, per page,
averaged. Ours is measured out of fold: five folds, split by registered domain, each judged by a model that
has learned from the other four. For its speed, the model that comes with the package is timed. Every page
goes through all contestants one after the other, on one core; the time of the processor counts, without
decoding.
rs-trafilatura takes part where it is installed (its source distribution needs Rust).
Writes ``benchmarks/results/extraction.md``.

With ``--train pipeline/extraction/html/models`` instead, the model that comes with the package is made: learned
from all of these pages.
"""

import argparse
import importlib
import importlib.metadata
import json
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import trafilatura
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree
from wcxb import FOLDS, Example, fold_of, load, score

from core.errors import run
from pipeline.extraction.html.blocks import read
from pipeline.extraction.html.main_content import FORESTS, NAMES, Model, keep, main_content, write
from pipeline.extraction.html.training import fit, label
from pipeline.extraction.tidy import tidy
from pipeline.ledger import Drop

RESULTS = Path(__file__).parent / "results" / "extraction.md"
Score = tuple[float, float, float]
Extractor = Callable[[str, str], str]
OURS = "Gristmill, default"


def ours(html: str, url: str) -> str:
    """What a job does with a page."""
    found = main_content(html, url)
    return "" if isinstance(found, Drop) else tidy(found[0])


def resiliparse(html: str, _url: str) -> str:
    """Resiliparse's main content."""
    text: str = extract_plain_text(HTMLTree.parse(html), main_content=True)
    return text


def trafilatura_default(html: str, _url: str) -> str:
    """trafilatura as it comes."""
    return trafilatura.extract(html) or ""


def trafilatura_fineweb(html: str, _url: str) -> str:
    """As FineWeb's recipe sets it."""
    return trafilatura.extract(html, favor_precision=True, include_comments=False, deduplicate=True) or ""


def contestants() -> dict[str, Extractor]:
    """Name and version of each, and how it is called."""
    version = importlib.metadata.version
    found: dict[str, Extractor] = {
        OURS: ours,
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


def out_of_fold(examples: Sequence[Example]) -> list[Score]:
    """Our scores, each page judged by a model that knows nothing of its site."""
    folds = fold_of(list(examples))
    labelled = [label(example.page) for example in examples]
    scores: list[Score] = [(0.0, 0.0, 0.0)] * len(examples)
    for held_out in range(FOLDS):
        pages = [page for page, fold in zip(labelled, folds, strict=True) if page and fold != held_out]
        model = Model(*fit(pages))
        for place, (example, fold) in enumerate(zip(examples, folds, strict=True)):
            if fold == held_out:
                blocks = read(example.page.html)
                shares = model.shares(blocks, example.page.url) if blocks.texts else None
                text = write(blocks, keep(*shares)) if shares else ""
                scores[place] = score(text, example.page.gold)
        print(f"fold {held_out + 1} of {FOLDS} is judged", flush=True)
    return scores


def train(examples: Sequence[Example], folder: Path) -> None:
    """The model of all pages."""
    forests, names = fit([page for example in examples if (page := label(example.page))])
    for name, forest in zip(FORESTS, forests, strict=True):
        (folder / name).write_bytes(forest)
    (folder / NAMES).write_text(json.dumps(names, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


def measure(examples: Sequence[Example], rounds: int) -> dict[str, tuple[list[Score], float]]:
    """Of each contestant, the scores and the seconds per page: the median of the rounds."""
    found = contestants()
    scores: defaultdict[str, list[Score]] = defaultdict(list)
    seconds: defaultdict[str, list[float]] = defaultdict(lambda: [0.0] * rounds)
    for turn in range(rounds):
        for example in examples:
            for name, extract in found.items():
                start = time.process_time()
                text = extract(example.page.html, example.page.url)
                seconds[name][turn] += time.process_time() - start
                if not turn:
                    scores[name].append(score(text, example.page.gold))
    return {name: (scores[name], statistics.median(seconds[name]) / len(examples)) for name in found}


def report(examples: Sequence[Example], found: dict[str, tuple[list[Score], float]], command: str) -> str:
    """The result file."""
    peer = next(seconds for name, (_, seconds) in found.items() if name.startswith("trafilatura"))
    characters = sum(len(example.page.html) for example in examples)
    kinds = sorted({example.kind for example in examples})
    lines = [
        "# Main content beside other extractors",
        "",
        f"`{command}`, {date.today()}: {len(examples)} pages of",
        f"{characters // len(examples) // 1000} thousand characters on average; Python "
        f"{platform.python_version()}. {OURS}: out of fold.",
        "",
        "| | F1 | precision | recall | pages/s | beside trafilatura |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, (scores, seconds) in found.items():
        figures = " | ".join(f"{statistics.mean(column):.3f}" for column in zip(*scores, strict=True))
        lines.append(f"| {name} | {figures} | {1 / seconds:.0f} | {peer / seconds:.1f} |")
    lines += ["", f"F1 by kind of page:\n\n| | {' | '.join(kinds)} |", f"|---|{'---:|' * len(kinds)}"]
    numbers = [sum(example.kind == kind for example in examples) for kind in kinds]
    lines.append(f"| pages | {' | '.join(map(str, numbers))} |")
    for name, (scores, _) in found.items():
        by_kind = [
            statistics.mean(
                each[0] for each, example in zip(scores, examples, strict=True) if example.kind == kind
            )
            for kind in kinds
        ]
        lines.append(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in by_kind)} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pages", required=True, help="a WARC file")
    parser.add_argument("--gold", required=True, help="JSON lines with url, main_content and page_type")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--train", type=Path, metavar="DIR", help="learn from all pages, write the model there"
    )
    options = parser.parse_args(arguments)
    examples = load(options.pages, options.gold)
    if options.train:
        train(examples, options.train)
        return
    found = measure(examples, options.rounds)
    found[OURS] = out_of_fold(examples), found[OURS][1]
    command = f"python benchmarks/extraction.py --rounds {options.rounds} --pages … --gold …"
    text = report(examples, found, command)
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main)
