"""Small runs to train on, written without the data half, and the batches of their steps."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from core.shards import STAGE, SplitName, publish, write_file
from core.shards.packing import METHOD, Document, make_header, pack
from core.stage import Stage
from core.tokenizer import STAGE as TOKENIZER
from core.tokenizer import Tokenizer
from core.tokenizer import publish as publish_tokenizer
from train.data.dataset import read_stream
from train.parallel import World
from train.training_run import TrainingRun


def write_data(
    folder: Path,
    tokenizer: Tokenizer,
    sequence_length: int,
    parts: Mapping[SplitName, Sequence[Document]],
    *,
    source: str = "web",
    method: str = METHOD,
) -> None:
    """Publish a tokenizer, and shards of one source in one file for each split."""
    publish_tokenizer(tokenizer, Stage(TOKENIZER, str(folder / "tokenizer")), {})
    corpus = _digest("benchmark").hex()
    header = make_header(tokenizer, sequence_length=sequence_length, corpus=corpus, method=method)
    shards, lengths, files = str(folder / "shards"), tokenizer.byte_lengths(), []
    for split, documents in parts.items():
        typed = [each._replace(tokens=each.tokens.astype(header.dtype)) for each in documents]
        files.append(write_file(shards, split, source, "00000", pack(typed, header), header, lengths))
    publish(Stage(STAGE, shards), files, header)


def encode(tokenizer: Tokenizer, texts: Iterable[str]) -> list[Document]:
    """Return texts as documents, whose ids are hashes of the texts."""
    return [
        Document(
            _digest(text), np.array([tokenizer.bos, *tokenizer.encode(text), tokenizer.eos], dtype=np.uint32)
        )
        for text in texts
    ]


def read_batches(run: TrainingRun, world: World) -> Iterator[list[tuple[Tensor, Tensor, Tensor]]]:
    """Yield the micro-batches of each step: inputs, document ids and targets."""
    steps = range(1, run.config.steps + 1)
    positions = [run.batch_sizes.positions(step, world.rank, world.size) for step in steps]
    for rows, _ in read_stream(run.dataset, run.stream, positions):
        yield [
            (part.inputs, part.document_ids, part.targets)
            for part in rows.batch().split(run.config.micro_batch_size)
        ]


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
