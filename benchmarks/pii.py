"""Speed of masking personal data on real text, items found, and examples for inspection.

``python benchmarks/pii.py PATH…`` takes raw crawl files, dumps and books (files, folders or globs). Prints
per path the CPU time per 5,000 characters, for all documents and for those without personal data, and the
number of items masked by type; then examples with their context.
"""

import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence

from core.errors import run
from pipeline.filters import language, pii
from pipeline.training import texts as raw_texts

NUM_EXAMPLES = 12
"""Examples per type."""
CONTEXT = 30
"""Characters shown before and after an item."""


def documents(path: str) -> list[tuple[str, str]]:
    """Return the text and the language of every document at ``path``."""
    return [(text, language.identify(text, "")[0]) for text in raw_texts.documents(path)]


def milliseconds(texts: list[tuple[str, str]]) -> float:
    """Return the CPU time of masking per 5,000 characters."""
    start = time.process_time()
    for text, code in texts:
        pii.mask(text, code)
    return (time.process_time() - start) * 5e6 / max(sum(len(text) for text, _ in texts), 1)


def main(arguments: Sequence[str]) -> None:
    """Mask every path and print a line for each, then examples."""
    examples = defaultdict(list)
    print(f"{'documents':>10}{'ms':>7}{'ms, none':>10}  found, path")
    for path in arguments:
        texts = documents(path)
        items = [pii.find(text, code) for text, code in texts]
        plain = [pair for pair, found in zip(texts, items, strict=True) if not found]
        for (text, _), found in zip(texts, items, strict=True):
            for start, end, metric in found:
                context = text[max(start - CONTEXT, 0) : end + CONTEXT]
                examples[metric].append(f"{text[start:end]!r} in {context!r}")
        counts = Counter(metric for found in items for _, _, metric in found)
        named = ", ".join(f"{count:,} {metric}" for metric, count in counts.items()) or "nothing"
        print(f"{len(texts):>10,}{milliseconds(texts):>7.3f}{milliseconds(plain):>10.3f}  {named}, {path}")
    for metric, shown in examples.items():
        print(f"\n{metric}", *random.Random(0).sample(shown, min(NUM_EXAMPLES, len(shown))), sep="\n  ")


if __name__ == "__main__":
    run(main)
