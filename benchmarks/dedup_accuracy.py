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
import re
import struct
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
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

from core.config import Config, DedupConfig, InputConfig, OutputConfig
from core.errors import run
from pipeline.analysis.normalized import normalized_words
from pipeline.dedup import minhash
from pipeline.dedup.parameters import parameters
from pipeline.spark.dedup.stage import dedup
from pipeline.spark.session.builder import session
from pipeline.training import texts as raw_texts

RESULTS = Path(__file__).parent / "results" / "dedup_accuracy.md"
SETTINGS = DedupConfig(preset="fineweb")
BANDS, ROWS, SHINGLE, SEED, THRESHOLD = parameters(SETTINGS)
CHAIN = 4
"""Documents of a chain, each a copy of the one before."""
CHAIN_SHARE = 0.15
"""Share of the documents that belong to chains."""
WIDTH = 0.05
"""Width of a bucket of similarities."""

Pair = tuple[int, int]
Units = list[str]
"""Words with the white space after them, or characters of a text without spaces."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, and the pairs of which one is a copy of the other and has no other copy."""

    texts: list[str]
    pairs: list[Pair]


def passages(paths: Sequence[str], drawn: random.Random) -> list[Units]:
    """Cut the distinct texts at the paths into passages of 250 to 400 words, in random order."""
    texts = dict.fromkeys(text for path in paths for text in raw_texts.documents(path))
    found = []
    for text in texts:
        units = re.findall(r"\S+\s*", text)
        if len(text) > 20 * len(units):
            units = list(text)
        while len(units) >= 250:
            length = drawn.randint(250, 400)
            found.append(units[:length])
            units = units[length:]
    drawn.shuffle(found)
    return found


def make_corpus(found: Sequence[Units], size: int, drawn: random.Random) -> Corpus:
    """Make ``size`` documents of the first passages; what perturbs them comes from the last ones."""
    chains = round(size * CHAIN_SHARE / CHAIN)
    originals = (size - chains * CHAIN) // 2 + chains
    if originals + 1000 > len(found):
        raise SystemExit(f"{len(found):,} passages are too few for {size:,} documents")
    other = found[originals:]
    texts: list[str] = []
    pairs: list[Pair] = []
    for number, units in enumerate(found[:originals]):
        texts.append("".join(units))
        for _ in range(CHAIN - 1 if number < chains else 1):
            units = perturb(units, drawn.uniform(WIDTH, 1), other, drawn)
            texts.append("".join(units))
        if number >= chains:
            pairs.append((len(texts) - 2, len(texts) - 1))
    return Corpus(texts, pairs)


def perturb(units: Units, similarity: float, other: Sequence[Units], drawn: random.Random) -> Units:
    """Change a text so that its similarity to the original is about the given one."""
    kind = drawn.randrange(4)
    if kind == 0:
        return remove(units, similarity, drawn)
    if kind == 1:
        return reorder(units, similarity, drawn)
    if kind == 2 and similarity > 0.3:  # below, the copy would become too long
        return extend(units, similarity, other, drawn)
    return replace(units, similarity, other, drawn)


def replace(units: Units, similarity: float, other: Sequence[Units], drawn: random.Random) -> Units:
    """Replace single words by other words: a shingle survives if none of its words is replaced."""
    share = 1 - (2 * similarity / (1 + similarity)) ** (1 / SHINGLE)
    return [drawn.choice(drawn.choice(other)) if drawn.random() < share else unit for unit in units]


def remove(units: Units, similarity: float, drawn: random.Random) -> Units:
    """Remove a span."""
    length = round(len(units) * (1 - similarity))
    start = drawn.randint(0, len(units) - length)
    return units[:start] + units[start + length :]


def extend(units: Units, similarity: float, other: Sequence[Units], drawn: random.Random) -> Units:
    """Put other text before or after it."""
    added: Units = []
    while len(added) < (wanted := round(len(units) * (1 / similarity - 1))):
        added += drawn.choice(other)
    return drawn.choice((added[:wanted] + units, [*units, "\n", *added[:wanted]]))


def reorder(units: Units, similarity: float, drawn: random.Random) -> Units:
    """Shuffle the parts between random cuts: each cut ends the shingles that span it."""
    count = round(len(units) * (1 - similarity) / (1 + similarity) / (SHINGLE - 1))
    cuts = sorted(drawn.sample(range(1, len(units)), count))
    edges = [0, *cuts, len(units)]
    parts = [units[start:end] for start, end in pairwise(edges)]
    drawn.shuffle(parts)
    return [unit for part in parts for unit in part]


class Similarity:
    """True Jaccard similarity of documents, by sets of tuples of words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._shingles: dict[int, frozenset[tuple[str, ...]]] = {}

    def __call__(self, first: int, second: int) -> float:
        one, two = self._of(first), self._of(second)
        if not one | two:  # both are shorter than a shingle, and only compared exactly
            return float(self._texts[first].split() == self._texts[second].split())
        return len(one & two) / len(one | two)

    def _of(self, number: int) -> frozenset[tuple[str, ...]]:
        if number not in self._shingles:
            words = plain_words(self._texts[number])
            shingles = zip(*(words[offset:] for offset in range(SHINGLE)), strict=False)
            self._shingles[number] = frozenset(shingles)
        return self._shingles[number]


def plain_words(text: str) -> list[str]:
    """Return the words of a text in lower case, with numbers as 0 and without combining marks."""
    spans = normalized_words([text])
    words = (text[start:end].lower() for start, end in zip(spans.starts, spans.ends, strict=True))
    return [strip_marks(re.sub(r"\d+([.,،٫]\d+)?", "0", word)) for word in words]


def strip_marks(word: str) -> str:
    """Return a word without accents and invisible characters."""
    decomposed = unicodedata.normalize("NFD", word)
    return "".join(each for each in decomposed if unicodedata.category(each) not in ("Mn", "Cf"))


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
    for bucket in range(round(1 / WIDTH)):
        low = bucket * WIDTH
        chosen = {pair: s for pair, s in pairs.items() if min(int(s / WIDTH + 1e-9), 19) == bucket}
        if not chosen:
            continue
        chances = [expected(s) for s in chosen.values()]
        theory, count = sum(chances) / len(chosen), len(chosen)
        sigma = math.sqrt(sum(p * (1 - p) for p in chances)) / count
        found = len(candidates & chosen.keys()) / count
        kept = len(verified & chosen.keys()) / count
        above = sum(expected(s) for s in chosen.values() if s >= THRESHOLD) / count
        deviation = f"{(found - theory) / sigma:+.1f} σ" if sigma > 1e-9 else "–"
        yield (
            f"| {low:.2f}–{low + WIDTH:.2f} | {count:,} | {found:.3f} | {theory:.3f} | {sigma:.3f} "
            f"| {deviation} | {kept:.3f} | {above:.3f} |"
        )


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


def agreement_lines(ours: dict[int, str], same_hashes: dict[int, str], own: dict[int, str]) -> Iterator[str]:
    """Yield whether the clusters equal datatrove's for the same MinHashes, and counts for its own."""
    clusters, theirs = partition(ours), partition(same_hashes)
    yield (
        f"datatrove's bucket and cluster steps, given our MinHashes: {len(theirs):,} clusters of several "
        f"documents, ours without verification {len(clusters):,}; **{len(clusters & theirs):,} equal**, "
        f"{len(clusters ^ theirs):,} different."
    )
    yield ""
    yield (
        f"datatrove with its own words, hashes and permutations: {len(partition(own)):,} clusters, of which "
        f"{len(clusters & partition(own)):,} equal ours."
    )


def difference_lines(pairs: dict[Pair, float], ours: set[Pair], own: set[Pair]) -> Iterator[str]:
    """Yield how many pairs only one side finds, by similarity, beside theory."""
    chance = {pair: 2 * expected(s) * (1 - expected(s)) for pair, s in pairs.items()}
    apart = ours ^ own
    slope = [s for s in (pairs[pair] for pair in apart) if 0.01 < expected(s) < 0.99]
    deviation = math.sqrt(sum(p * (1 - p) for p in chance.values()))
    low, high = np.quantile([pairs[pair] for pair in apart], [0.05, 0.95]) if apart else (0, 0)
    yield (
        f"Of {len(pairs):,} pairs, both find {len(ours & own):,}, only ours {len(ours - own):,}, only "
        f"datatrove {len(own - ours):,}: {1 - len(apart) / len(pairs):.1%} agreement. Two independent draws "
        f"of permutations differ in {sum(chance.values()):.0f} ± {deviation:.0f} pairs by theory, these in "
        f"{len(apart):,}. {len(slope):,} of them have a similarity at which a pair is found with a "
        f"probability between .01 and .99; 90 % lie between {low:.2f} and {high:.2f}."
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
    dropped = {(min(each.number, each.survivor), max(each.number, each.survivor)) for each in verified.drops}
    page = [
        "# Accuracy of near-duplicate removal",
        "",
        f"`python benchmarks/dedup_accuracy.py …` on {date.today()}: {len(corpus.texts):,} documents, made "
        f"of {len(found):,} passages of real pages, wikis and books, 250 to 400 words each; {len(pairs):,} "
        f"pairs of a passage and one perturbed copy, the others in chains of {CHAIN}. {BANDS} bands of "
        f"{ROWS} rows, {SHINGLE}-word shingles, datatrove {importlib.metadata.version('datatrove')}.",
        "",
        "Found: both in one cluster, without verification. Theory: mean of 1 − (1 − s^8)^14; σ: its sampling "
        f"error. Verified: one dropped as a duplicate of the other; similarities from {THRESHOLD:.3f} count.",
        "",
        *recall_table(pairs, ours, dropped),
        "",
        *precision_lines(verified.drops, similarity),
        "",
        *agreement_lines(candidates.cluster, same_hashes, own),
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
