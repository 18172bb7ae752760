"""The filters on text that is known to be clean: how fast they are, and how often toxicity is a false alarm.

``python benchmarks/filters.py PATH…`` for raw crawl files, dumps and books (files, folders or globs). Each
record is extracted and cut into passages of at most 3,000 characters, so that figures are comparable and no
long document hides a part of itself. Prints per path the passages judged in a second of processor time on one
core (every metric, FineWeb's recipe), and per thousand how many score above the recipe's toxicity threshold.
"""

import time
from collections.abc import Sequence

from core.config import FiltersConfig
from core.errors import run
from pipeline.filters import FilterPipeline, resolved_thresholds
from pipeline.training.texts import passages

LOUDEST = 3
"""Passages shown per path: those with the highest scores above the threshold."""


def main(arguments: Sequence[str]) -> None:
    """FilterPipeline the passages of every path and print a line for each."""
    judge, threshold = FilterPipeline(FiltersConfig()), resolved_thresholds(FiltersConfig())["toxicity.score"]
    judge.filter_text("Load the models.")
    print(f"{'passages':>10}{'characters':>12}{'per second':>12}{'toxic, ‰':>10}  path")
    for path in arguments:
        texts = list(passages(path))
        start = time.process_time()
        scores = [judge.filter_text(text).metrics["toxicity"] for text in texts]
        spent = time.process_time() - start
        loud = sorted(((score, text) for score, text in zip(scores, texts, strict=True) if score > threshold))
        mean = sum(map(len, texts)) / max(len(texts), 1)
        share = 1000 * len(loud) / max(len(texts), 1)
        print(f"{len(texts):>10,}{mean:>12,.0f}{len(texts) / spent:>12,.0f}{share:>10.2f}  {path}")
        for score, text in loud[: -LOUDEST - 1 : -1]:
            print(f"{score:>44.3f}  {' '.join(text.split())[:100]!r}")


if __name__ == "__main__":
    run(main)
