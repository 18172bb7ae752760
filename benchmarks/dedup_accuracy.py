"""Accuracy of near-duplicate removal on real texts with perturbed copies, compared with theory and datatrove.

``python benchmarks/dedup_accuracy.py PATH…`` takes raw pages, wikis and books (files, folders or globs),
extracts them as the jobs do and cuts them into passages of 250 to 400 words. Most get one perturbed copy,
whose words are replaced, deleted, extended by other text or reordered, for a Jaccard similarity anywhere
between .05 and 1; others a chain of three copies. True similarities are those of sets of word tuples, in
plain Python. The script then compares

1. pairs that ``jobs/dedup.py`` puts into one cluster, by true similarity, with 1 − (1 − s^r)^b;
2. with verification, the true similarity of every dropped document to the one that it duplicates;
3. the clusters with those of datatrove's own bucket and cluster steps, given the same MinHashes, and with
   those of datatrove's own signatures.

datatrove requires ``spacy`` and ``xxhash<4``. Writes ``benchmarks/results/dedup_accuracy.md``.
"""

import argparse
import importlib.metadata
import math
import random
import struct
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from rensa import RMinHash

from benchmarks.dedup_texts import CHAIN, SHINGLE, Pair, Similarity, make_corpus, passages
from core.config import Config, DedupConfig, InputConfig, OutputConfig
from core.errors import run
from pipeline.analysis.normalized import normalized_words
from pipeline.dedup import minhash
from pipeline.dedup.parameters import parameters
from pipeline.spark.dedup.stage import dedup
from pipeline.spark.session.builder import session

RESULTS = Path(__file__).parent / "results" / "dedup_accuracy.md"
SETTINGS = DedupConfig(preset="fineweb")
BANDS, ROWS, _, SEED, THRESHOLD = parameters(SETTINGS)
WIDTH = 0.05
"""Width of a bucket of similarities."""
MIN_VARIANCE = 3
"""Variance from which a number of pairs is about normally distributed."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A dropped document and the one that stays."""

    number: int
    survivor: int
    similarity: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Cluster of each document that has one, and the documents that were dropped."""

    cluster: dict[int, str]
    drops: list[Drop]


def run_job(spark: SparkSession, config: Config) -> Outcome:
    """Run the stage and read what it published, by the documents' numbers."""
    dedup(spark, config)
    columns = ["id", "cluster", "metadata"]
    dropped = pq.read_table(f"{config.output.path}/duplicates")
    rows = pq.read_table(f"{config.output.path}/documents", columns=columns).to_pylist()
    rows += dropped.select(columns).to_pylist()
    numbers = {row["id"]: int(row["metadata"]["number"]) for row in rows}
    drops = [
        Drop(numbers[row["id"]], numbers[row["duplicate_of"]], row["similarity"])
        for row in dropped.to_pylist()
    ]
    return Outcome({numbers[row["id"]]: row["cluster"] or row["id"] for row in rows}, drops)


class OurSignature(MinhashDedupSignature):  # type: ignore[misc]  # datatrove has no types
    """datatrove's signature step with our words, shingles and MinHashes."""

    def get_shingles(self, text: str) -> NDArray[np.uint64]:
        """Return our shingle hashes, uint64[shingles, 1]."""
        words = normalized_words([text])
        counts = np.maximum(np.diff(words.offsets) - SHINGLE + 1, 0)
        return minhash._shingles(words, SHINGLE, counts, np.append(0, counts)).reshape(-1, 1)

    def get_signature(self, shingles: NDArray[np.uint64]) -> list[list[int]]:
        """Return our MinHashes, by band."""
        ends = np.array([0, len(shingles)], np.uint64)
        digests = RMinHash.digest_matrix_from_flat_token_hashes(shingles.ravel(), ends, BANDS * ROWS, SEED)
        values: list[list[int]] = np.array(digests.to_rows(), np.uint64).reshape(BANDS, ROWS).tolist()
        return values


def run_datatrove(texts: Sequence[str], signature: Callable[[str], MinhashDedupSignature]) -> dict[int, str]:
    """Run datatrove's first three steps. Return the cluster of each document that shares a band."""
    documents = [Document(text=text, id=str(number)) for number, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        stages = [
            ([documents, signature(f"{folder}/signatures")], 1),
            ([MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets")], BANDS),
            ([MinhashDedupCluster(f"{folder}/buckets", f"{folder}/clusters", save_cluster_id=True)], 1),
        ]
        for number, (pipeline, tasks) in enumerate(stages):
            LocalPipelineExecutor(pipeline, tasks, workers=1, logging_dir=f"{folder}/{number}").run()
        packed = Path(f"{folder}/clusters/000000.clusters").read_bytes()
    return {number: str(cluster) for number, cluster in struct.iter_unpack("<II", packed)}


def partition(cluster: dict[int, str]) -> set[frozenset[int]]:
    """Return the clusters of several documents."""
    members: dict[str, set[int]] = defaultdict(set)
    for number, name in cluster.items():
        members[name].add(number)
    return {frozenset(each) for each in members.values() if len(each) > 1}


def same(cluster: dict[int, str], pair: Pair) -> bool:
    """True if both documents are in one cluster."""
    return pair[0] in cluster and cluster[pair[0]] == cluster.get(pair[1])


def expected(similarity: float) -> float:
    """Return the probability that documents of this similarity share a band."""
    return 1 - (1 - similarity**ROWS) ** BANDS


def recall_table(pairs: dict[Pair, float], candidates: set[Pair], verified: set[Pair]) -> Iterator[str]:
    """Yield the table of recall by true similarity, beside theory."""
    yield "| similarity | pairs | found | theory | σ | deviation | verified: found | theory |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|"
    last = round(1 / WIDTH) - 1
    for bucket in range(last + 1):
        low = bucket * WIDTH
        chosen = {pair: s for pair, s in pairs.items() if min(int(s / WIDTH + 1e-9), last) == bucket}
        if not chosen:
            continue
        chances, count = [expected(s) for s in chosen.values()], len(chosen)
        theory, found = sum(chances) / count, len(candidates & chosen.keys()) / count
        sigma = math.sqrt(sum(chance * (1 - chance) for chance in chances)) / count
        kept = len(verified & chosen.keys()) / count
        above = sum(expected(s) for s in chosen.values() if s >= THRESHOLD) / count
        yield (
            f"| {low:.2f}–{low + WIDTH:.2f} | {count:,} | {found:.3f} | {theory:.3f} | {sigma:.3f} "
            f"| {deviation(chances, found * count)} | {kept:.3f} | {above:.3f} |"
        )
    yield ""
    chances = [expected(s) for s in pairs.values()]
    yield (
        f"All pairs: {len(candidates):,} found, {sum(chances):,.0f} by theory "
        f"({deviation(chances, len(candidates))})."
    )


def deviation(chances: Sequence[float], found: float) -> str:
    """Return how far the number of pairs found is from theory, if it is about normally distributed."""
    if (variance := sum(chance * (1 - chance) for chance in chances)) < MIN_VARIANCE:
        return "–"
    return f"{(found - sum(chances)) / math.sqrt(variance):+.1f} σ"


def precision_lines(drops: Sequence[Drop], similarity: Similarity) -> Iterator[str]:
    """Yield what the true similarity of the dropped documents to their survivors is."""
    true = [similarity(drop.number, drop.survivor) for drop in drops]
    right = sum(value >= THRESHOLD for value in true)
    apart = max(abs((drop.similarity or 0) - value) for drop, value in zip(drops, true, strict=True))
    yield (
        f"With verification: {len(drops):,} documents dropped, {right:,} of them with a true similarity of "
        f"at least {THRESHOLD:.3f} to the document that they duplicate: **precision "
        f"{right / len(drops):.4f}**. Least true similarity: {min(true):.4f}. Largest difference from the "
        f"reported one: {apart:.1e}."
    )


def agreement_lines(
    ours: dict[int, str], same_hashes: dict[int, str], own: dict[int, str], similarity: Similarity
) -> Iterator[str]:
    """Yield whether the clusters equal datatrove's for the same MinHashes, and counts for its own."""
    short = {each for each in partition(ours) if all(map(similarity.is_short, each))}
    clusters, theirs = partition(ours) - short, partition(same_hashes)
    yield (
        f"datatrove's bucket and cluster steps, given our MinHashes: {len(theirs):,} clusters of several "
        f"documents, ours without verification {len(clusters):,}; **{len(clusters & theirs):,} equal, "
        f"{len(clusters ^ theirs):,} different**. (Not counted: {len(short):,} of equal texts shorter than a "
        "shingle, which datatrove does not compare.)"
    )
    yield ""
    yield (
        f"datatrove with its own words, hashes and permutations: {len(partition(own)):,} clusters, of which "
        f"{len(clusters & partition(own)):,} equal ours."
    )


def difference_lines(pairs: dict[Pair, float], ours: set[Pair], own: set[Pair]) -> Iterator[str]:
    """Yield how many pairs only one side finds, by similarity, beside theory."""
    chances = {pair: expected(s) for pair, s in pairs.items()}
    both = [2 * chance * (1 - chance) for chance in chances.values()]
    sigma = math.sqrt(sum(chance * (1 - chance) for chance in both))
    apart = ours ^ own
    low, high = np.quantile([pairs[pair] for pair in apart], [0.05, 0.95]) if apart else (0, 0)
    yield (
        f"Of {len(pairs):,} pairs, both find {len(ours & own):,}, only ours {len(ours - own):,}, only "
        f"datatrove {len(own - ours):,}: {1 - len(apart) / len(pairs):.1%} agreement. Two independent draws "
        f"of permutations differ in {sum(both):.0f} ± {sigma:.0f} pairs by theory, these in {len(apart):,}. "
        f"90 % of them have a similarity between {low:.2f} and {high:.2f}."
    )
    yield ""
    sure = {pair for pair, chance in chances.items() if chance >= 0.99}
    never = {pair for pair, chance in chances.items() if chance <= 0.01}
    yield (
        f"Outside the slope of the curve: of {len(never):,} pairs with a probability of at most .01, ours "
        f"finds {len(ours & never):,}, datatrove {len(own & never):,}, "
        f"{sum(chances[pair] for pair in never):.1f} by theory; of {len(sure):,} with one of at least .99, "
        f"ours misses {len(sure - ours):,}, datatrove {len(sure - own):,}, "
        f"{sum(1 - chances[pair] for pair in sure):.1f} by theory. (datatrove's English tokenizer divides "
        "Chinese and Japanese text into other words, whose similarities differ.)"
    )


def main(arguments: Sequence[str]) -> None:
    """Compare everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    drawn = random.Random(options.seed)
    found = passages(options.paths, drawn)
    corpus = make_corpus(found, options.documents, drawn)
    similarity = Similarity(corpus.texts)
    pairs = {pair: similarity(*pair) for pair in corpus.pairs}
    candidates, verified = run_both(corpus.texts)
    same_hashes = run_datatrove(corpus.texts, OurSignature)
    own = run_datatrove(corpus.texts, MinhashDedupSignature)
    ours = {pair for pair in pairs if same(candidates.cluster, pair)}
    survivor = {each.number: each.survivor for each in verified.drops}
    together = {pair for pair in pairs if len({survivor.get(number, number) for number in pair}) == 1}
    page = [
        "# Accuracy of near-duplicate removal",
        "",
        f"`python benchmarks/dedup_accuracy.py …` on {date.today()}: {len(corpus.texts):,} documents, made "
        f"of {len(found):,} passages of real pages, wikis and books, 250 to 400 words each; {len(pairs):,} "
        f"pairs of a passage and one perturbed copy, the others in chains of {CHAIN}. {BANDS} bands of "
        f"{ROWS} rows, {SHINGLE}-word shingles, datatrove {importlib.metadata.version('datatrove')}.",
        "",
        "Found: both in one cluster, without verification. Theory: mean of 1 − (1 − s^8)^14; σ: its sampling "
        "error. Verified: one dropped as a duplicate of the other, or both of a third; theory: of "
        f"similarities from {THRESHOLD:.3f} on.",
        "",
        *recall_table(pairs, ours, together),
        "",
        *precision_lines(verified.drops, similarity),
        "",
        *agreement_lines(candidates.cluster, same_hashes, own, similarity),
        "",
        *difference_lines(pairs, ours, {pair for pair in pairs if same(own, pair)}),
        "",
    ]
    RESULTS.write_text("\n".join(page), encoding="utf-8")
    print("\n".join(page))


def run_both(texts: Sequence[str]) -> tuple[Outcome, Outcome]:
    """Run the job without verification, and decide again with it."""
    with tempfile.TemporaryDirectory() as folder:
        for part in (0, 1):
            numbers = range(part, len(texts), 2)
            table = pa.table({"number": list(numbers), "text": [texts[number] for number in numbers]})
            pq.write_table(table, f"{folder}/part-{part}.parquet")
        source = InputConfig(paths=(f"{folder}/part-*.parquet",), keep_columns=("number",))
        config = Config(
            input=source,
            dedup=SETTINGS.model_copy(update={"verify": False}),
            output=OutputConfig(path=f"{folder}/candidates"),
        )
        again = Config(
            dedup=SETTINGS.model_copy(update={"run": f"{folder}/candidates"}),
            output=OutputConfig(path=f"{folder}/verified"),
        )
        spark = session(config, "dedup accuracy")
        results = run_job(spark, config), run_job(spark, again)
        spark.stop()
        return results


if __name__ == "__main__":
    run(main)
