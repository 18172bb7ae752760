"""Mutated files of every kind through the readers and the pass over text behind them.

``python benchmarks/fuzz.py [--files N] [--seed N] FOLDER`` takes every file below ``FOLDER`` of up to 2 MB as
a seed, and tables that it writes itself. It mutates ``N`` files of each kind (default 1,000), recognizes each
of them as a run does, and reads it, also one that is refused, in its kind's format. A quarter is also read in
splits. Each kind is one process, so that a crash of a library is counted too.

Counted are rows, quarantined rows, and what must be 0: tasks that end with an error, ids that occur twice,
and files whose splits yield other records than the whole. The numbers are printed and written to
``benchmarks/results/fuzz.md``; the seed of each failure is printed. A seed and a kind determine the files.
"""

import argparse
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter

from benchmarks.fuzz_tables import json_lines, parquet_file
from core.config import Config, load
from core.errors import run
from pipeline.readers.inputs import InputFile, try_split
from pipeline.readers.record import Format, InputSplit
from pipeline.spark.record_processing import process_splits, schema

RESULTS = Path(__file__).parent / "results/fuzz.md"
MAX_SEED_BYTES = 2_000_000
KINDS: dict[str, Format] = {
    "JSON lines": "jsonl",
    "Parquet": "parquet",
    "WARC and ARC": "warc",
    "Wikipedia": "wikipedia",
    "books": "books",
    "TEI": "books",
}
TOKENS = (
    b"\0" * 40,
    b"\xff",
    b"\xed\xa0\x80",
    b"\r\n\r\n",
    b"WARC/1.0\r\n",
    b"Content-Length: 99999999999\r\n",
    b"Content-Encoding: gzip, br\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"WARC-Date: 0000-99-99T99:99:99Z\r\n",
    b"\x1f\x8b\x08\0",
    b"BZh91AY&SY",
    b"\x28\xb5\x2f\xfd",
    b"<page>",
    b"</page>",
    b"<!DOCTYPE a [<!ENTITY b 'cc'>]>",
    b"&#xd800;&b;",
    b"{{" * 50,
    b"<div>" * 300,
    b'{"text": "',
    b'"\\ud800"',
    b"[" * 2000,
    b"1e999",
    b"PAR1",
)


def mutate(data: bytes, choose: random.Random) -> bytes:
    """Return a copy with one to a few dozen edits: flipped, cut, repeated, moved or inserted bytes."""
    content = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 5, 30))):
        at, length = choose.randrange(len(content) + 1), choose.choice((1, 1, 4, 60, 2000))
        match choose.randrange(7):
            case 0 if at < len(content):
                content[at] ^= 1 << choose.randrange(8)
            case 1:
                del content[at : at + length]
            case 2:
                content[at:at] = choose.choice(TOKENS)
            case 3:
                content[at : at + length] = choose.randbytes(length)
            case 4:
                content[at:at] = content[at : at + length]
            case 5:
                start = choose.randrange(len(content) + 1)
                content[at:at] = content[start : start + length]
            case _ if choose.random() < 0.3:
                del content[at:]
    return bytes(content)


def kind_of(path: Path) -> str:
    """Return the kind of a seed, by its name."""
    name = path.name.lower()
    if any(f".{suffix}" in name for suffix in ("warc", "arc", "wet", "wat")):
        return "WARC and ARC"
    if "wiki" in name:
        return "Wikipedia"
    return "TEI" if ".xml" in name else "books" if any(part in name for part in (".md", ".txt")) else ""


def make_file(kind: str, seeds: Sequence[Path], choose: random.Random) -> tuple[str, bytes]:
    """Return the name and content of an input: a mutated seed, or a mutated table."""
    if kind == "Parquet":
        name, data = "a.parquet", parquet_file(choose)
        return (name, data) if choose.random() < 0.4 else (name, mutate(data, choose))
    if kind == "JSON lines":
        name, data = json_lines(choose)
        return (name, data) if choose.random() < 0.4 else (name, mutate(data, choose))
    seed = choose.choice(seeds)
    return seed.name, mutate(seed.read_bytes(), choose)


def read(splits: Iterable[InputSplit], config: Config, counts: Counter[str]) -> list[tuple[str, bool]]:
    """Read the splits; return each row's id, and if it is quarantined. Raises whatever would end the task."""
    rows: list[tuple[str, bool]] = []
    for batch in process_splits(splits, config):
        batch.validate(full=True)
        assert batch.schema == schema(config.input.keep_columns)
        errors, texts = batch["error"].to_pylist(), batch["text"].to_pylist()
        rows += [
            (each, error is not None) for each, error in zip(batch["id"].to_pylist(), errors, strict=True)
        ]
        counts["documents"] += sum(text is not None for text in texts)
        counts["quarantined"] += sum(error is not None for error in errors)
    counts["rows"] += len(rows)
    return rows


def try_file(path: Path, kind: str, config: Config, counts: Counter[str], *, in_splits: bool) -> None:
    """Read one file as a run does; count what must not happen."""
    size = path.stat().st_size
    whole = InputSplit(str(path), path.name, KINDS[kind], "s", 0, size)
    found = try_split(InputFile(str(path), path.name, size, ""), config.input)
    counts["refused"] += isinstance(found, str)
    splits = found if isinstance(found, list) else [whole]
    rows = read(splits, config, counts)
    ids = [each for each, _ in rows]
    counts["ids twice"] += len(ids) - len(set(ids))
    if in_splits and splits:
        settings = config.input.model_copy(update={"split_bytes": max(1, size // 5)})
        parts = try_split(InputFile(str(path), path.name, size, ""), settings)
        if isinstance(parts, list) and len(parts) > 1:
            good, whole_good = (
                {each for each, is_damaged in found_rows if not is_damaged}
                for found_rows in (read(parts, config, Counter()), rows)
            )
            counts["in splits"] += 1
            counts["splits differ"] += good != whole_good


def campaign(kind: str, seeds: Sequence[Path], files: int, seed: int) -> Counter[str]:
    """Try ``files`` mutated files of one kind."""
    counts: Counter[str] = Counter()
    keep = ["input.keep_columns=['extra']"] if kind == "JSON lines" else []
    sets = ["filters.preset=none", "dedup.exact=false", "dedup.near=false", "input.paths=['x']", *keep]
    config = load(None, sets)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(files):
            choose = random.Random(f"{kind} {seed} {number}")
            name, data = make_file(kind, seeds, choose)
            path = Path(folder) / name
            path.write_bytes(data)
            before, start = counts.copy(), perf_counter()
            try:
                try_file(path, kind, config, counts, in_splits=number % 4 == 0)
            except Exception:
                counts["tasks ended"] += 1
                print(f"{kind}, file {number}: {name}\n{traceback.format_exc()}", file=sys.stderr, flush=True)
            counts["files"] += 1
            for what in ("ids twice", "splits differ"):
                if counts[what] > before[what]:
                    print(f"{kind}, file {number}: {name}: {what}", file=sys.stderr, flush=True)
            counts["slowest file, s"] = max(counts["slowest file, s"], round(perf_counter() - start))
            path.unlink()
    return counts


def main(arguments: Sequence[str]) -> None:
    """Try all kinds, print and write the table."""
    parser = argparse.ArgumentParser(description="Try mutated files of every kind.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with files to mutate")
    parser.add_argument("--files", type=int, default=1000, help="files of each kind (default: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations (default: 0)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="default: all")
    parser.add_argument("--processes", type=int, default=2, help="kinds at a time (default: 2)")
    options = parser.parse_args(arguments)
    seeds: dict[str, list[Path]] = {kind: [] for kind in ["", *KINDS]}
    for path in sorted(options.folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= MAX_SEED_BYTES:
            seeds[kind_of(path)].append(path)
    names = ("files", "refused", "rows", "documents", "quarantined", "in splits")
    zeros = ("splits differ", "ids twice", "tasks ended")
    columns = [*names, *zeros, "slowest file, s"]
    table = [f"| kind | {' | '.join(columns)} |", "|---" + "|--:" * len(columns) + "|"]
    with ProcessPoolExecutor(options.processes, max_tasks_per_child=1) as pool:
        tried = {
            kind: pool.submit(campaign, kind, seeds[kind], options.files, options.seed)
            for kind in options.kinds
        }
        for kind, result in tried.items():
            counts = result.result()
            table.append(f"| {kind} | {' | '.join(f'{counts[column]:,}' for column in columns)} |")
    command = f"python benchmarks/fuzz.py --files {options.files} --seed {options.seed} FOLDER"
    print(*table, sep="\n")
    if options.kinds == list(KINDS):
        RESULTS.write_text("\n".join(["# Mutated inputs\n", f"`{command}`\n", *table, ""]))


if __name__ == "__main__":
    run(main)
