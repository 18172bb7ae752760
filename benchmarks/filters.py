"""Speed of the filters, and false positives of the toxicity classifier, on text that is known to be clean.

``python benchmarks/filters.py PATH…`` takes raw crawl files, dumps and books (files, folders or globs). Each
record is extracted and split into passages of at most 3,000 characters, so that results are comparable and
every part of a long document counts. Prints per path the passages filtered per CPU second on one core (every
metric, FineWeb's recipe), and how many per thousand score above the recipe's toxicity threshold.
"""

import time
from collections.abc import Sequence

from core.config import FiltersConfig
from core.errors import run
from pipeline.filters import FilterPipeline, resolved_thresholds
from pipeline.training.texts import passages

NUM_EXAMPLES = 3
"""Passages shown per path: those with the highest scores above the threshold."""


def main(arguments: Sequence[str]) -> None:
    """Filter the passages of every path and print a line for each path."""
    filters = FilterPipeline(FiltersConfig())
    threshold = resolved_thresholds(FiltersConfig())["toxicity.score"]
    filters.filter_text("Load the models.")
    print(f"{'passages':>10}{'characters':>12}{'per second':>12}{'toxic, ‰':>10}  path")
    for path in arguments:
        texts = list(passages(path))
        start = time.process_time()
        scores = [filters.filter_text(text).metrics["toxicity"] for text in texts]
        spent = time.process_time() - start
        toxic = sorted(
            ((score, text) for score, text in zip(scores, texts, strict=True) if score > threshold)
        )
        mean = sum(map(len, texts)) / max(len(texts), 1)
        share = 1000 * len(toxic) / max(len(texts), 1)
        print(f"{len(texts):>10,}{mean:>12,.0f}{len(texts) / spent:>12,.0f}{share:>10.2f}  {path}")
        for score, text in toxic[: -NUM_EXAMPLES - 1 : -1]:
            print(f"{score:>44.3f}  {' '.join(text.split())[:100]!r}")


if __name__ == "__main__":
    run(main)
