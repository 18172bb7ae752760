"""Speed of encoding in batches, beside the library that the tokenizer is made with, for each kind.

``python benchmarks/tokenizer.py OUT`` takes the folder of a run with documents. Every other document is for
training, the others are encoded in one thread, in batches of 64. *Library*: SentencePiece's ``encode`` or
``encode_batch_fast`` of ``tokenizers``, up to lists of ids. *First*: ``Tokenizer.encode_batch`` with a
tokenizer that was just loaded, up to arrays; *again*: the same texts once more, when words are cached.
*Other thread*: how fast a thread of Python code runs meanwhile, of its speed alone; a library that holds the
interpreter lock leaves about half. Medians of three rounds. Writes ``benchmarks/results/tokenizer.md``.
"""

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pyarrow.dataset as ds
import sentencepiece
import tokenizers

from core.config import TokenizerConfig
from core.errors import InputError, run
from core.stage import Stage
from core.tokenizer import STAGE, SentencePieceTokenizer, load_published, publish, train
from core.tokenizer.sentencepiece_model import MODEL

RESULTS = Path(__file__).parent / "results" / "tokenizer.md"
KINDS: Sequence[Any] = get_args(TokenizerConfig.model_fields["kind"].annotation)
BATCH = 64
ROUNDS = 3

Encode = Callable[[list[str]], Sequence[Sequence[int] | npt.NDArray[np.int32]]]


def read(out: str) -> list[str]:
    """Return the texts of a run's documents in the order of their ids."""
    folder = Path(out, "documents")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the output of a run")
    table = ds.dataset(str(folder), format="parquet").to_table(columns=["id", "text"]).sort_by("id")
    return [str(text) for text in table.column("text").to_pylist()]


def batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Divide texts into batches."""
    return (list(texts[first : first + BATCH]) for first in range(0, len(texts), BATCH))


def seconds(encode: Encode, texts: Sequence[str]) -> float:
    """Return the time to encode all texts."""
    start = time.perf_counter()
    for batch in batches(texts):
        encode(batch)
    return time.perf_counter() - start


def library(folder: str) -> Encode:
    """Return the library's own function for batches, for the tokenizer published in a folder."""
    if Path(folder, MODEL).exists():
        processor = sentencepiece.SentencePieceProcessor(model_file=str(Path(folder, MODEL)))
        return lambda texts: processor.encode(texts, num_threads=1)
    tokenizer = tokenizers.Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    return lambda texts: [each.ids for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def other_thread(encode: Encode, texts: Sequence[str]) -> float:
    """Return the speed of a thread of Python code while texts are encoded, of its speed alone."""
    alone = _count_while(lambda: time.sleep(1))
    return _count_while(lambda: seconds(encode, texts)) / alone


def _count_while(action: Callable[[], object]) -> float:
    """Return how often per second a thread counts while ``action`` runs."""
    count, running = 0, True

    def work() -> None:
        nonlocal count
        while running:
            count += 1

    thread = threading.Thread(target=work)
    thread.start()
    start = time.perf_counter()
    action()
    took = time.perf_counter() - start
    running = False
    thread.join()
    return count / took


def measure(kind: Any, texts: Sequence[str], size: int) -> str:
    """Train a kind of tokenizer and return its row of the table."""
    start = time.perf_counter()
    made = train(texts[::2], TokenizerConfig(kind=kind, vocabulary_size=size))
    training = time.perf_counter() - start
    encoded = texts[1::2]
    megabytes = sum(len(text.encode()) for text in encoded) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        publish(made, Stage(STAGE, folder), {"kind": kind})
        raw = library(folder)
        times: list[tuple[float, float, float]] = []
        for _ in range(ROUNDS):
            fresh = load_published(folder)
            first = seconds(fresh.encode_batch, encoded)
            times.append((seconds(raw, encoded), first, seconds(fresh.encode_batch, encoded)))
        share = other_thread(load_published(folder).encode_batch, encoded)
    by_raw, first, again = (megabytes / statistics.median(each) for each in zip(*times, strict=True))
    name = "SentencePiece" if isinstance(made, SentencePieceTokenizer) else "tokenizers"
    return (
        f"| `{kind}` | {made.vocabulary_size:,} | {training:.1f} s | {name} | {by_raw:.2f} | {first:.2f} "
        f"| {again:.2f} | {first / by_raw:.2f} | {again / by_raw:.2f} | {share:.0%} |"
    )


def main(arguments: Sequence[str]) -> None:
    """Measure every kind, print the table and write the page."""
    parser = argparse.ArgumentParser(prog="python benchmarks/tokenizer.py")
    parser.add_argument("out", help="folder of a run with documents")
    parser.add_argument("--vocabulary-size", type=int, default=16_000)
    options = parser.parse_args(arguments)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    texts = read(options.out)
    size = sum(len(text.encode()) for text in texts) / 1e6
    page = [
        "# Encoding in batches\n",
        f"`python benchmarks/tokenizer.py OUT` on {date.today()}, SentencePiece {sentencepiece.__version__}, "
        f"tokenizers {tokenizers.__version__}: {len(texts):,} documents of {size:.1f} MB, half of them to "
        "train on, the other half encoded in one thread. MB of text per second, medians of three rounds.\n",
        "| kind | vocabulary | training | library | library, MB/s | ours, first | ours, again "
        "| first ÷ library | again ÷ library | other thread |",
        "|---|--:|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in KINDS:
        page.append(measure(kind, texts, options.vocabulary_size))
        print(page[-1], flush=True)
    RESULTS.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main)
