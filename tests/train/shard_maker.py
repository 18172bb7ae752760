"""Make small shards with the tokenizer and packing of :mod:`core`."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from core import storage
from core.config import TokenizerConfig
from core.shards import STAGE, SplitName, publish, write_file
from core.shards.packing import Document, make_header, pack
from core.stage import Stage
from core.tokenizer import STAGE as TOKENIZER
from core.tokenizer import publish as publish_tokenizer
from core.tokenizer import train
from pipeline.document import text_hash

Kind = Literal["bpe", "unigram", "byte-bpe", "char"]
WORDS = ("mill", "grain", "water", "wheel", "stone", "miller", "slow", "old", "sings", "turns", "flour")


def sentences(count: int, seed: int) -> list[str]:
    """Return random documents of 3 to 59 words."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(3, 60))) + "." for _ in range(count)]


def make_run(
    output: str,
    texts: Mapping[tuple[SplitName, str], Sequence[str]],
    *,
    sequence_length: int = 32,
    vocabulary_size: int = 320,
    kind: Kind = "bpe",
) -> None:
    """Write ``output/tokenizer`` and ``output/shards``; ``texts`` by split and source."""
    tokenizer = train(
        (text for part in texts.values() for text in part),
        TokenizerConfig(kind=kind, vocabulary_size=vocabulary_size),
    )
    publish_tokenizer(tokenizer, Stage(TOKENIZER, storage.join(output, "tokenizer")), {})
    header = make_header(tokenizer, sequence_length=sequence_length, corpus="0" * 64)
    shards = storage.join(output, "shards")
    files = []
    for (split, source), part in texts.items():
        documents = []
        for text in part:
            tokens = [tokenizer.bos, *tokenizer.encode(text), tokenizer.eos]
            documents.append(Document(bytes.fromhex(text_hash(text)), np.array(tokens, header.dtype)))
        rows = pack(documents, header)
        half = len(rows.tokens) // 2
        for number, chosen in enumerate((np.arange(half), np.arange(half, len(rows.tokens)))):
            files.append(
                write_file(
                    shards,
                    split,
                    source,
                    f"{number:05}",
                    rows.take(chosen),
                    header,
                    tokenizer.byte_lengths(),
                )
            )
    publish(Stage(STAGE, shards), files, header)


def small_run(output: str, kind: Kind = "bpe", vocabulary_size: int = 320) -> None:
    """Write a tokenizer and shards: two sources, some hundred rows."""
    make_run(
        output,
        {
            ("train", "books"): sentences(200, 1),
            ("train", "wikipedia"): sentences(90, 2),
            ("validation", "books"): sentences(20, 3),
            ("validation", "wikipedia"): sentences(10, 4),
        },
        vocabulary_size=vocabulary_size,
        kind=kind,
    )
