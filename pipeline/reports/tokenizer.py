"""Measure how a tokenizer divides text: bytes per token, fertility, unused tokens and round trips."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, computed_field

from core import storage
from core.tokenizer import Tokenizer
from pipeline.analysis import analyse

REPORT = "report.json"
"""File of the report in the folder of the tokenizer."""
BATCH = 64
"""Documents encoded at a time."""


class SampleDocument(NamedTuple):
    """A document to measure on."""

    id: str
    source: str
    language: str
    text: str


class Encoded(BaseModel):
    """Sums over documents. Tokens are those of the texts, without bos and eos."""

    model_config = ConfigDict(frozen=True)
    documents: int = 0
    bytes: int = 0
    """UTF-8 bytes of the texts."""
    words: int = 0
    """Words as filters count them; every letter is one in scripts without spaces."""
    tokens: int = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy does not support decorated properties
    @property
    def bytes_per_token(self) -> float:
        """Mean UTF-8 bytes of a token."""
        return round(self.bytes / max(1, self.tokens), 4)

    @computed_field  # type: ignore[prop-decorator]  # as above
    @property
    def fertility(self) -> float:
        """Mean tokens of a word (Rust et al. 2021, "How Good is Your Tokenizer?")."""
        return round(self.tokens / max(1, self.words), 4)

    def __add__(self, other: "Encoded") -> "Encoded":
        return Encoded(
            documents=self.documents + other.documents,
            bytes=self.bytes + other.bytes,
            words=self.words + other.words,
            tokens=self.tokens + other.tokens,
        )


class Measured(BaseModel):
    """Measurements of one tokenizer."""

    model_config = ConfigDict(frozen=True)
    name: str
    vocabulary_size: int
    unused: int
    """Tokens that do not occur in the sample, apart from special ones."""
    round_trip_failures: list[str]
    """Ids of documents that do not decode to their text."""
    total: Encoded
    languages: dict[str, Encoded]
    """By language, most bytes first."""
    sources: dict[str, Encoded]
    """By source, most bytes first."""


class TokenizerReport(BaseModel):
    """Measurements of the corpus's tokenizer, and of another one beside it, on the same documents."""

    model_config = ConfigDict(frozen=True)
    held_out: bool
    """False if the corpus is so small that the documents are those that the tokenizer was trained on."""
    tokenizers: list[Measured]


def read_report(folder: str) -> TokenizerReport:
    """Read the report in the folder of a published tokenizer."""
    return TokenizerReport.model_validate_json(storage.read_bytes(storage.join(folder, REPORT)))


def summary(report: TokenizerReport) -> Iterator[str]:
    """Yield a line for each tokenizer."""
    sampled = "held-out documents" if report.held_out else "documents of the training sample"
    for each in report.tokenizers:
        total = each.total
        yield (
            f"{each.name}: {total.bytes_per_token:.3f} bytes a token, {total.fertility:.3f} tokens a word, "
            f"{each.unused / each.vocabulary_size:.1%} of the vocabulary unused "
            f"({total.documents:,} {sampled})"
        )


def warnings(report: TokenizerReport) -> Iterator[str]:
    """Yield a line for each tokenizer that does not keep all texts."""
    for each in report.tokenizers:
        if failures := each.round_trip_failures:
            yield (
                f"{each.name} does not keep the text of {len(failures):,} of {each.total.documents:,} "
                f"documents, such as {failures[0]}"
            )


def measure(name: str, tokenizer: Tokenizer, documents: Sequence[SampleDocument]) -> Measured:
    """Encode and decode all documents with a tokenizer. O(characters)."""
    occurs = np.zeros(tokenizer.vocabulary_size, np.bool_)
    occurs[list(tokenizer.special.values())] = True
    failures: list[str] = []
    languages: dict[str, Encoded] = {}
    sources: dict[str, Encoded] = {}
    for document, ids in _encode(tokenizer, documents):
        occurs[ids] = True
        if tokenizer.decode(ids) != document.text:
            failures.append(document.id)
        found = Encoded(
            documents=1,
            bytes=len(document.text.encode()),
            words=len(analyse(document.text).words),
            tokens=len(ids),
        )
        languages[document.language] = languages.get(document.language, Encoded()) + found
        sources[document.source] = sources.get(document.source, Encoded()) + found
    return Measured(
        name=name,
        vocabulary_size=tokenizer.vocabulary_size,
        unused=int((~occurs).sum()),
        round_trip_failures=failures,
        total=sum(sources.values(), Encoded()),
        languages=_largest_first(languages),
        sources=_largest_first(sources),
    )


def _encode(
    tokenizer: Tokenizer, documents: Sequence[SampleDocument]
) -> Iterator[tuple[SampleDocument, npt.NDArray[np.int32]]]:
    for first in range(0, len(documents), BATCH):
        batch = documents[first : first + BATCH]
        encoded = tokenizer.encode_batch([document.text for document in batch])
        yield from zip(batch, encoded, strict=True)


def _largest_first(groups: dict[str, Encoded]) -> dict[str, Encoded]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].bytes, item[0])))
