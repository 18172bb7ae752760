"""Text of raw files, read and extracted in this process."""

from collections.abc import Iterator

from core.config import ExtractionConfig, InputConfig
from pipeline.extraction import extract
from pipeline.ledger import Drop
from pipeline.readers import read
from pipeline.readers.inputs import plan_splits
from pipeline.readers.record import Record

PASSAGE_CHARACTERS = 3000
MIN_DOCUMENT_CHARACTERS = 500
"""Documents and remainders of documents of fewer characters than this are too short to be a passage."""


def documents(path: str) -> Iterator[str]:
    """Yield the extracted text of each record in the files at ``path`` (a file, folder or glob)."""
    for split in plan_splits(InputConfig(paths=(path,))):
        for item in read(split):
            extracted = extract(item, ExtractionConfig()) if isinstance(item, Record) else None
            if extracted is not None and not isinstance(extracted, Drop):
                yield extracted.text


def passages(path: str) -> Iterator[str]:
    """Yield the documents at ``path`` in passages of :data:`PASSAGE_CHARACTERS`."""
    for text in documents(path):
        starts = range(0, len(text) - MIN_DOCUMENT_CHARACTERS, PASSAGE_CHARACTERS)
        yield from (text[start : start + PASSAGE_CHARACTERS] for start in starts)
