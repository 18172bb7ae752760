"""Token shards: the contract between the data half and the trainer.

A row is a packed sequence of ``sequence_length + 1`` tokens: inputs are ``tokens[:, :-1]``, targets
``tokens[:, 1:]``. Its spans map tokens to documents; tokens outside all spans are padding. Start reading with
:mod:`core.shards.format`.
"""

from core.shards.format import (
    STAGE,
    Facts,
    Header,
    Languages,
    Rows,
    Segments,
    Spans,
    SplitName,
    TokenCounts,
    Totals,
)
from core.shards.reader import CACHE_BYTES, Shards, check_tokenizer
from core.shards.writer import WrittenFile, publish, write_file

__all__ = [
    "CACHE_BYTES",
    "STAGE",
    "Facts",
    "Header",
    "Languages",
    "Rows",
    "Segments",
    "Shards",
    "Spans",
    "SplitName",
    "TokenCounts",
    "Totals",
    "WrittenFile",
    "check_tokenizer",
    "publish",
    "write_file",
]
