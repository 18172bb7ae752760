"""Decontamination: planted items found, hits in clean documents, and cost.

``python benchmarks/decontamination.py --sets SET.jsonl… --fields FIELD… --documents PATH…`` with evaluation
sets and raw crawl files, dumps or books (files, folders or globs) that contain none of their items.

1. Items of the sets, the same number of each, are planted in documents in four forms, 50 of each form. Prints
   how many are found.
2. The documents are searched as they are, with n-grams of several sizes. Prints hits and examples.
3. The processor time of the search per document, for batches of documents cut to 250 and to 1,000 words.
4. The processor time of the pass over text per document (reading, filters, signatures), without and with the
   search, in turn; and the share of the search in it, timed on its own over all extracted texts. Pages are
   parsed in a process beside the pass, which is not counted, so the true share is smaller.

The tables are printed and written to ``benchmarks/results/decontamination.md``.
"""

import argparse
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from core.config import Config, DecontaminationConfig, InputConfig
from core.errors import run
from pipeline.analysis.normalized import normalized_words
from pipeline.decontamination import Contamination, Decontaminator, EvaluationSet, build, read_sets
from pipeline.readers.inputs import plan_splits
from pipeline.spark.record_processing import process_splits
from pipeline.training import texts as raw_texts

PlantedItem = tuple[str, int, str]
"""Set, line and text."""

RESULTS = Path(__file__).parent / "results/decontamination.md"
PER_FORM = 50
BATCH = 512
"""Documents per batch, as in the pass over text."""
MIN_WORDS = 200
"""Shorter documents are not used to plant items."""
SIZES = ((13, 8), (8,), (13, 6), (13, 5))
"""Words per n-gram of the searches of clean documents; the first are the defaults."""
NUM_EXAMPLES = 6
FORMS: dict[str, Callable[[str], str]] = {
    "verbatim": str,
    "other case": lambda text: text.swapcase(),
    # A point or comma between digits is part of a number.
    "other punctuation": lambda text: re.sub(r"(?<![0-9])[^\w\s]+|[^\w\s]+(?![0-9])", " – ", text) + "!",
    "split across paragraphs": lambda text: "\n\n".join(re.findall(r"\S+(?:\s+\S+){0,4}", text)),
}


def main(arguments: Sequence[str]) -> None:
    """Measure, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--fields", nargs="+", default=[])
    parser.add_argument("--documents", nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    settings = DecontaminationConfig(paths=tuple(options.sets), fields=tuple(options.fields))
    started = time.process_time()
    sets = read_sets(settings)
    decontaminator = Decontaminator(build(sets, settings.ngrams), settings)
    seconds = time.process_time() - started
    documents = {path: list(raw_texts.documents(path)) for path in options.documents}
    sections = [
        describe_sets(decontaminator, seconds),
        planted(decontaminator, sets, [text for texts in documents.values() for text in texts]),
        clean(sets, documents),
        speed(decontaminator, [text for texts in documents.values() for text in texts], options.rounds),
        share(decontaminator, documents, options.rounds),
    ]
    names = " ".join(short_name(path) for path in options.documents)
    command = f"python benchmarks/decontamination.py --sets … --fields … --documents {names}"
    sections.insert(0, [f"`{command}`, one core."])
    page = "\n\n".join("\n".join(lines) for lines in sections)
    print(page)
    RESULTS.write_text(f"# Decontamination\n\n{page}\n")


def describe_sets(decontaminator: Decontaminator, seconds: float) -> list[str]:
    """Return a table of the sets, and the size of the index."""
    index = decontaminator.index
    size = index.offsets.nbytes + index.items.nbytes + sum(each.hashes.nbytes for each in index.tables)
    return [
        "| set | items | too short | unspecific |",
        "|---|--:|--:|--:|",
        *(
            f"| {each.name} | {each.items:,} | {each.too_short:,} | {each.unspecific:,} |"
            for each in index.sets
        ),
        "",
        f"{len(index.offsets) - 1:,} n-grams, {size / 1e6:.1f} MB, read and indexed in {seconds:.1f} s.",
    ]


def planted(decontaminator: Decontaminator, sets: Sequence[EvaluationSet], texts: list[str]) -> list[str]:
    """Plant items in documents, a document each; return how many are found, and how many of all, alone."""
    draw = random.Random(0)
    pools = searched_items(decontaminator, sets)
    everything = [item for pool in pools for item in pool]
    for pool in pools:
        draw.shuffle(pool)
    number = PER_FORM * len(FORMS)
    chosen = [pools[position % len(pools)][position // len(pools)] for position in range(number)]
    draw.shuffle(chosen)
    hosts = draw.sample([text for text in texts if len(text.split()) >= MIN_WORDS], number)
    lines = [
        "## Planted items",
        "",
        "| form | planted | found | further items in these documents | all items alone | found |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for part, (form, disguise) in enumerate(FORMS.items()):
        items = chosen[part * PER_FORM : (part + 1) * PER_FORM]
        documents = [plant(hosts.pop(), disguise(text)) for _, _, text in items]
        found, further = count_found(decontaminator, items, documents)
        alone, _ = count_found(decontaminator, everything, [disguise(text) for _, _, text in everything])
        lines.append(f"| {form} | {len(items)} | {found} | {further} | {len(everything):,} | {alone:,} |")
    return lines


def searched_items(decontaminator: Decontaminator, sets: Sequence[EvaluationSet]) -> list[list[PlantedItem]]:
    """Return the items of each set that are searched for, with the first text that is long enough."""
    shortest = min(decontaminator.settings.ngrams)
    has_ngrams = iter(decontaminator.index.ngrams_of_item > 0)
    pools: list[list[PlantedItem]] = []
    for each in sets:
        pools.append([])
        for item in each.items:
            if next(has_ngrams):
                lengths = np.diff(normalized_words(item.texts).offsets)
                text = item.texts[int((lengths >= shortest).argmax())]
                pools[-1].append((each.name, item.line, text))
    return pools


def count_found(
    decontaminator: Decontaminator, items: Sequence[PlantedItem], documents: list[str]
) -> tuple[int, int]:
    """Return how many items are found in their documents, and how many others are."""
    hits = named = 0
    for (name, line, _), each in zip(items, search(decontaminator, documents), strict=True):
        found = {(match.benchmark, match.item) for match in each.matches} if each else set()
        hits += (name, line) in found
        named += len(found)
    return hits, named - hits


def plant(host: str, text: str) -> str:
    """Insert a text at the line break that is nearest to the middle of a document."""
    breaks = [match.start() for match in re.finditer("\n", host)] or [len(host)]
    middle = min(breaks, key=lambda position: abs(position - len(host) // 2))
    return f"{host[:middle]}\n{text}{host[middle:]}"


def clean(sets: Sequence[EvaluationSet], documents: dict[str, list[str]]) -> list[str]:
    """Search the documents as they are; return a table of hits by sizes of n-grams, and examples."""
    columns = [", ".join(map(str, sizes)) for sizes in SIZES]
    lines = [
        "## Clean documents",
        "",
        f"| documents | number | words | hit by n-grams of {' | '.join(columns)} words |",
        f"|---|--:|--:|{'--:|' * len(columns)}",
    ]
    searching = [Decontaminator(build(sets, sizes), DecontaminationConfig(ngrams=sizes)) for sizes in SIZES]
    examples: list[list[str]] = [[] for _ in SIZES]
    for path, texts in documents.items():
        words = sum(len(normalized_words(batch).hashes) for batch in batches(texts))
        found = [[each for each in search(one, texts) if each] for one in searching]
        counts = " | ".join(f"{len(each):,}" for each in found)
        lines.append(f"| {short_name(path)} | {len(texts):,} | {words:,} | {counts} |")
        for listed, each in zip(examples, found, strict=True):
            matches = (match for contamination in each for match in contamination.matches)
            listed += [f"{match.passage!r} ({match.benchmark} {match.item})" for match in matches]
    for size, listed in zip(columns, examples, strict=True):
        if listed:
            named = ", ".join(listed[:NUM_EXAMPLES])
            lines += ["", f"By n-grams of {size} words: {len(listed):,} items, such as {named}."]
    return lines


def search(decontaminator: Decontaminator, texts: list[str]) -> Iterator[Contamination | None]:
    """Yield what each text contains."""
    for batch in batches(texts):
        yield from decontaminator.check(batch, normalized_words(batch))


def speed(decontaminator: Decontaminator, texts: list[str], rounds: int) -> list[str]:
    """Return a table of the processor time per document."""
    words = " ".join(texts).split()
    lines = ["## Time", "", "| words per document | normalized words, µs | search, µs |", "|--:|--:|--:|"]
    for length in (250, 1000):
        cut = [" ".join(words[start : start + length]) for start in range(0, len(words) - length, length)][
            :BATCH
        ]
        found = normalized_words(cut)
        times = [
            per_document(lambda: normalized_words(cut), len(cut), rounds),  # noqa: B023 (called at once)
            per_document(lambda: decontaminator.check(cut, found), len(cut), rounds),  # noqa: B023
        ]
        lines.append(f"| {length:,} | {times[0]:.1f} | {times[1]:.1f} |")
    return lines


def share(decontaminator: Decontaminator, documents: dict[str, list[str]], rounds: int) -> list[str]:
    """Return a table of the time of the pass over text, and of the search in it."""
    lines = [
        "## Share of the pass over text",
        "",
        "| documents | pass, ms per document | with search | search | share |",
        "|---|--:|--:|--:|--:|",
    ]
    for path, texts in documents.items():
        words = [normalized_words(batch) for batch in batches(texts)]
        config = Config(input=InputConfig(paths=(path,)), decontamination=decontaminator.settings)
        works: list[Callable[[], object]] = [
            lambda: list(process_splits(plan_splits(config.input), config)),  # noqa: B023 (called at once)
            lambda: list(process_splits(plan_splits(config.input), config, decontaminator.index)),  # noqa: B023
            lambda: [decontaminator.check(*each) for each in zip(batches(texts), words, strict=True)],  # noqa: B023
        ]
        times: list[list[float]] = [[] for _ in works]
        for _ in range(rounds):
            for work, spent in zip(works, times, strict=True):
                spent.append(per_document(work, len(texts), 1) / 1000)
        without, with_search, alone = map(statistics.median, times)
        columns = (f"{without:.2f}", f"{with_search:.2f}", f"{alone:.3f}", f"{alone / without:.1%}")
        lines.append(f"| {short_name(path)} | {' | '.join(columns)} |")
    return lines


def short_name(path: str) -> str:
    """Return the last two components of a path."""
    return "/".join(Path(path).parts[-2:])


def per_document(work: Callable[[], object], documents: int, rounds: int) -> float:
    """Return the median of the processor time of a call, in microseconds per document."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return statistics.median(times) / documents * 1e6


def batches(texts: list[str]) -> Iterator[list[str]]:
    """Yield the texts in batches."""
    for start in range(0, len(texts), BATCH):
        yield texts[start : start + BATCH]


if __name__ == "__main__":
    run(main)
