"""Token shards: the contract between the data half and the trainer.

One row is one packed sequence of ``sequence_length + 1`` tokens, so that inputs are ``tokens[:, :-1]`` and
targets ``tokens[:, 1:]``. Its spans say which piece of which document lies where; what no span covers is
padding.
"""

from core.shards.format import STAGE, Facts, Header, Rows, Spans, SplitName, Totals
from core.shards.reader import Shards, check_tokenizer
from core.shards.writer import WrittenFile, publish, write_file

__all__ = [
    "STAGE",
    "Facts",
    "Header",
    "Rows",
    "Shards",
    "Spans",
    "SplitName",
    "Totals",
    "WrittenFile",
    "check_tokenizer",
    "publish",
    "write_file",
]
