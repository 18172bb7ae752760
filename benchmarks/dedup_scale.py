"""Deduplication at scale: time per document and memory by corpus size, and adversarial graphs.

``python benchmarks/dedup_scale.py [--sizes 100000 300000 1000000 2000000]`` runs ``jobs/dedup.py`` over
generated documents (``dedup_documents.py``) on two cores, with the same memory of the driver for every size.
It prints the time per document, the edges and rounds of connected components, the peak memory of the driver's
JVM, of its Python process and of the Python workers, and the heap in use after garbage collections.

``--graphs [NODES]`` resolves paths, a star, two cliques joined by one edge and random graphs instead. The
results are compared with networkx; the times with GraphFrames, if ``--graphframes`` is its jar or its Maven
coordinates (``io.graphframes:graphframes-spark4_2.13:VERSION``).

``--index`` adds corpora of several sizes to a signature index each, and compares new crawls with them, a
tenth of which are documents of the indexed corpus.
Writes ``benchmarks/results/dedup_scale.md``, ``dedup_graphs.md`` or ``dedup_index.md`` (``--output``).
"""

import argparse
import contextlib
import importlib.metadata
import io
import os
import platform
import re
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from benchmarks.dedup_documents import REPOSITORY, job_command, run_command, steps, write_documents
from core.config import Config
from core.errors import run
from pipeline.spark.dedup import components
from pipeline.spark.session.builder import session

RESULTS, JOBS = Path(__file__).parent / "results", REPOSITORY / "jobs"
MEMORY = "2g"
POLL_SECONDS = 0.2
MIB = 1 << 20
KINDS = {"jvm": "driver's JVM", "driver": "driver's Python", "worker": "largest Python worker"}

Edges = NDArray[np.int64]
"""int64[2, edges]."""


class MemoryWatch:
    """Peak resident memory, in bytes, of this process's descendants by kind, read from ``/proc``."""

    def __init__(self) -> None:
        self.peak: dict[str, int] = defaultdict(int)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            for process in descendants(os.getpid()):
                with contextlib.suppress(OSError):  # it has ended
                    command = (process / "cmdline").read_bytes()
                    found = re.search(r"VmHWM:\s+(\d+) kB", (process / "status").read_text())
                    if found and (kind := kind_of(command)):
                        self.peak[kind] = max(self.peak[kind], int(found[1]) << 10)


def descendants(ancestor: int) -> Iterator[Path]:
    """Yield the folders in ``/proc`` of a process's descendants."""
    children = defaultdict(list)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            children[int(parent)].append(process)
    waiting = [ancestor]
    while waiting:
        found = children[waiting.pop()]
        yield from found
        waiting += [int(process.name) for process in found]


def kind_of(command: bytes) -> str | None:
    """Return which part of a Spark job a process is."""
    if b"SparkSubmit" in command:
        return "jvm"
    if b"pyspark.daemon" in command or b"pyspark/daemon" in command:
        return "worker"
    return "driver" if b"jobs/dedup.py" in command and b"python" in command.split(b"\0")[0] else None


def heap_after_collection(log: Path) -> int:
    """Return the largest heap in use after a garbage collection, in MiB."""
    return max((int(used) for used in re.findall(r"->(\d+)M\(\d+M\)", log.read_text())), default=0)


def measure_job(size: int, folder: Path) -> str:
    """Run the job over ``size`` documents. Return a row of the table."""
    documents, out, log = folder / "documents", folder / "out", folder / "gc.log"
    write_documents(documents, size)
    command = job_command(documents, out, memory=MEMORY)
    command[1:1] = ["--driver-java-options", f"-Xlog:gc:file={log}"]
    with MemoryWatch() as memory:
        seconds, printed = run_command(command, limit=4 * 3600, folder=folder)
    graph = " ".join(re.findall(r"connected components: (.*)", printed))
    dropped = pq.read_table(out / "duplicates", columns=["id"]).num_rows
    taken = "; ".join(f"{title} {step:.1f}" for title, step in steps(out))
    peaks = " | ".join(f"{memory.peak[kind] // MIB:,}" for kind in KINDS)
    return (
        f"| {size:,} | {seconds:,.1f} | {1e6 * seconds / size:,.0f} | {dropped:,} | {graph} | {peaks} "
        f"| {heap_after_collection(log):,} | {taken} |"
    )


def scale(options: argparse.Namespace) -> Iterator[str]:
    """Yield the table by number of documents."""
    yield "# Deduplication by number of documents"
    yield ""
    yield (
        f"`python benchmarks/dedup_scale.py` on {date.today()}, two cores, {platform.machine()}, Spark "
        f"{importlib.metadata.version('pyspark')}, `--driver-memory {MEMORY}`, one run each, including the "
        "start of Spark. Memory in MiB."
    )
    yield ""
    headings = ["documents", "seconds", "µs / document", "dropped", "connected components", *KINDS.values()]
    headings += ["heap after collection", "seconds of steps"]
    yield f"| {' | '.join(headings)} |"
    yield f"|{'--:|' * (len(headings) - 1)}---|"
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            yield measure_job(size, Path(folder))


def compare_with_indexes(options: argparse.Namespace) -> Iterator[str]:
    """Yield the table of new crawls and signature indexes, by the sizes of both."""
    yield "# New crawls against a signature index"
    yield ""
    yield (
        f"`python benchmarks/dedup_scale.py --index {' '.join(map(str, options.index))}` on {date.today()}, "
        f"two cores, {platform.machine()}, Spark {importlib.metadata.version('pyspark')}, one run each, "
        "including the start of Spark. A tenth of each new crawl are documents of the indexed corpus. "
        "Without documents in the index: no index."
    )
    yield ""
    yield "| indexed | index, MiB | adding, seconds | new crawl | seconds | dropped | for indexed ones |"
    yield "|--:|--:|--:|--:|--:|--:|--:|"
    for size in (0, *options.index):
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            yield from compare_with_index(size, options.crawls, Path(folder))


def compare_with_index(size: int, crawls: Sequence[int], folder: Path) -> Iterator[str]:
    """Yield a row for each new crawl, compared with an index of ``size`` documents."""
    old, index, row = folder / "old", folder / "index", f"| {size:,} | | "
    write_documents(old, size or max(crawls))
    settings = [f"dedup.index={index}"] if size else []
    if size:
        run_command(job_command(old, folder / "run"), limit=4 * 3600, folder=folder)
        command = job_command(old, folder / "run", settings)
        command[command.index(str(JOBS / "dedup.py"))] = str(JOBS / "add_to_index.py")
        seconds, _ = run_command(command, limit=4 * 3600, folder=folder)
        bytes_used = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
        row = f"| {size:,} | {bytes_used // MIB:,} | {seconds:.1f} "
    for number in crawls:
        new, out = folder / f"new-{number}", folder / f"out-{number}"
        write_documents(new, number - number // 10, seed=2)
        again = pq.read_table(min(old.iterdir())).slice(0, number // 10)
        pq.write_table(again, new / "again.parquet")
        seconds, _ = run_command(job_command(new, out, settings), limit=4 * 3600, folder=folder)
        dropped = pq.read_table(out / "duplicates", columns=["duplicate_in"])["duplicate_in"]
        indexed = len(dropped) - dropped.null_count
        yield f"{row}| {number:,} | {seconds:.1f} | {len(dropped):,} | {indexed:,} |"


def graphs(nodes: int) -> Iterator[tuple[str, Edges]]:
    """Yield adversarial graphs, whose largest have about ``nodes`` nodes or edges."""
    rng = np.random.default_rng(1)
    labels = np.arange(nodes)
    yield f"path of {nodes:,} nodes, sorted labels", np.stack([labels[:-1], labels[1:]])
    shuffled = rng.permutation(nodes)
    yield f"path of {nodes:,} nodes, random labels", np.stack([shuffled[:-1], shuffled[1:]])
    leaves = rng.permutation(nodes // 10)
    yield f"star of {nodes // 10:,} leaves", np.stack([np.full(len(leaves), nodes), leaves])
    size = max(2, int(nodes**0.5))
    pairs = np.stack(np.triu_indices(size, 1)).astype(np.int64)
    bridge = np.array([[size - 1], [size]])
    yield f"two cliques of {size:,} nodes, one edge between", np.concatenate([pairs, pairs + size, bridge], 1)
    for degree in (1, 2):
        ends = rng.integers(0, nodes, (2, nodes * degree // 2))
        yield f"random graph, {nodes:,} nodes, mean degree {degree}", ends


def oracle(edges: Edges) -> tuple[Edges, Edges]:
    """Return nodes in order and the least node of the component of each, by networkx."""
    graph = nx.Graph()
    graph.add_edges_from((u, v) for u, v in edges.T.tolist() if u != v)
    pairs = [
        (node, least) for each in nx.connected_components(graph) for least in [min(each)] for node in each
    ]
    nodes, roots = np.array(sorted(pairs)).T
    return nodes, roots


def in_order(table: pa.Table, node: str, component: str) -> tuple[Edges, Edges]:
    """Return nodes in order and the least node of the component of each."""
    nodes, names = table[node].to_numpy(), table[component].to_numpy()
    order = nodes.argsort()
    _, numbers = np.unique(names[order], return_inverse=True)
    least = np.full(numbers.max(initial=0) + 1, np.iinfo(np.int64).max)
    np.minimum.at(least, numbers, nodes[order])
    return nodes[order], least[numbers]


def run_ours(spark: SparkSession, edges: DataFrame, folder: str, most: int) -> tuple[pa.Table, str]:
    """Resolve a graph with at most ``most`` edges in the driver. Return nodes, roots and number of rounds."""
    components.MAX_LOCAL_EDGES = most
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        found = components.connected_components(spark, edges, folder).toArrow()
    return found.rename_columns(["node", "component"]), re.findall(r"(\d+) rounds", printed.getvalue())[-1]


def run_graphframes(spark: SparkSession, edges: DataFrame) -> tuple[pa.Table, str]:
    """Resolve a graph by GraphFrames with its default algorithm. Return nodes and components."""
    jvm: Any = spark._jvm
    frame = jvm.org.graphframes.GraphFrame.fromEdges(edges.toDF("src", "dst")._jdf)
    found = DataFrame(frame.connectedComponents().run(), spark).select("id", "component").toArrow()
    spark.catalog.clearCache()
    return found.rename_columns(["node", "component"]), ""


def compare_graphs(options: argparse.Namespace) -> Iterator[str]:
    """Yield the table of graphs."""
    jar = options.graphframes or ""
    added = f"--{'packages' if jar.count(':') == 2 else 'jars'} {jar} " if jar else ""
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[2] --driver-memory {MEMORY} {added}pyspark-shell"
    spark = session(Config(), "graphs")
    limit = components.MAX_LOCAL_EDGES
    yield "# Connected components of adversarial graphs"
    yield ""
    yield (
        f"`python benchmarks/dedup_scale.py --graphs {options.graphs}` on {date.today()}, two cores, Spark "
        f"{importlib.metadata.version('pyspark')}, networkx {importlib.metadata.version('networkx')}. In the "
        f"driver: graphs of up to {limit:,} edges, as the job does. GraphFrames: "
        f"{Path(jar).name if jar else 'left out; name its jar or Maven coordinates by --graphframes'}."
    )
    yield ""
    yield "| graph | edges | method | seconds | rounds | equal to networkx |"
    yield "|---|--:|---|--:|--:|---|"
    for title, edges in graphs(options.graphs):
        with tempfile.TemporaryDirectory(dir=options.work) as folder:
            yield from compare_graph(spark, title, edges, Path(folder), limit, bool(jar))
    spark.stop()


def compare_graph(
    spark: SparkSession, title: str, edges: Edges, folder: Path, limit: int, graphframes: bool
) -> Iterator[str]:
    """Yield a row for each method."""
    pq.write_table(pa.table({"u": edges[0], "v": edges[1]}), folder / "edges.parquet")
    spark.sparkContext.setCheckpointDir(str(folder / "checkpoints"))
    frame = spark.read.parquet(str(folder / "edges.parquet"))
    work = str(folder / "work")
    methods: dict[str, Callable[[], tuple[pa.Table, str]]] = {
        "Gristmill, in rounds": lambda: run_ours(spark, frame, work, -1)
    }
    if edges.shape[1] <= limit:
        methods["Gristmill, in the driver"] = lambda: run_ours(spark, frame, work, limit)
    if graphframes:
        methods["GraphFrames"] = lambda: run_graphframes(spark, frame)
    nodes, roots = oracle(edges)
    for name, method in methods.items():
        started = time.monotonic()
        found, rounds = method()
        seconds = time.monotonic() - started
        found_nodes, found_roots = in_order(found, "node", "component")
        # GraphFrames also returns nodes that have an edge only to themselves.
        known = np.isin(found_nodes, nodes)
        equal = np.array_equal(found_nodes[known], nodes) and np.array_equal(found_roots[known], roots)
        verdict = "yes" if equal else "**no**"
        yield f"| {title} | {edges.shape[1]:,} | {name} | {seconds:.1f} | {rounds} | {verdict} |"


def main(arguments: Sequence[str]) -> None:
    """Run what is asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000, 2_000_000])
    parser.add_argument("--graphs", type=int, nargs="?", const=1_000_000, default=0, metavar="NODES")
    parser.add_argument("--graphframes", metavar="JAR")
    parser.add_argument("--index", type=int, nargs="*", default=[], metavar="DOCUMENTS")
    parser.add_argument("--crawls", type=int, nargs="+", default=[10_000, 100_000], metavar="DOCUMENTS")
    parser.add_argument("--work", type=Path, help="folder for documents and intermediate files")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    name, made = "dedup_scale.md", scale(options)
    if options.graphs:
        name, made = "dedup_graphs.md", compare_graphs(options)
    elif options.index:
        name, made = "dedup_index.md", compare_with_indexes(options)
    with (options.output or RESULTS / name).open("w", encoding="utf-8") as page:
        for line in made:
            print(line, flush=True)
            print(line, file=page, flush=True)


if __name__ == "__main__":
    run(main)
