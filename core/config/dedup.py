"""Sections of deduplication and decontamination: dedup, decontamination."""

from typing import Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from core.config.section import Section

Criterion = Literal["longest", "newest", "oldest", "quality", "source"]
"""What makes one of several copies the one that stays."""


class LinesConfig(Section):
    """Removal of lines that many documents repeat: menus, cookie notices, licences.

    Counted over the documents that stay after duplicates are removed. A line is removed from all of them.
    """

    min_documents: int = Field(default=0, ge=0)
    """Remove lines that at least this many documents contain, such as 100; 0: remove none."""
    min_hosts: int = Field(default=1, ge=1)
    """... if the documents are of at least this many hosts, such as 10. Documents without an address count as
    one host for each file."""
    min_characters: int = Field(default=3, ge=1)
    """Lines with fewer characters are never removed; white space around them does not count."""

    @field_validator("min_documents")
    @classmethod
    def _repeated_lines_are_in_two_documents(cls, min_documents: int) -> int:
        if min_documents == 1:
            raise PydanticCustomError("min_documents", "must be 0 or at least 2: 1 would remove every line")
        return min_documents


class SubstringsConfig(Section):
    """Removal of passages that several documents have in common, word for word (Lee et al. 2022).

    Words are the parts between white space, or single letters in scripts without spaces.
    """

    min_words: int = Field(default=0, ge=0)
    """Length in words from which a passage counts as repeated, such as 50; 0: do not search."""
    action: Literal["cut", "mark"] = "cut"
    """``cut``: remove the passage from all documents but that with the smallest id. ``mark``: keep the texts
    and record where the passages are, in the table ``cuts``."""


class DedupConfig(Section):
    """Removal of duplicates: by address, by equal text, and near-duplicates by MinHash over word shingles.

    Documents that share a band of MinHashes are compared by the Jaccard similarity of their shingles.
    """

    exact: bool = True
    """Remove documents with equal text."""
    url: bool = False
    """Of documents with the same canonical address, keep the one that was fetched last."""
    near: bool = True
    """Remove near-duplicates."""
    preset: Literal["", "fineweb", "refinedweb", "redpajama"] = ""
    """Bands × rows and words per shingle of a published recipe: ``fineweb`` 14 × 8 and 5, ``refinedweb`` 450
    × 20 and 5, ``redpajama`` 14 × 9 and 13. Empty: ``fineweb``, unless ``threshold`` is set."""
    threshold: float = Field(default=0.0, ge=0, lt=1)
    """Jaccard similarity from which documents are near-duplicates. Without a preset, bands and rows, the
    best ones for it are chosen. 0: the threshold of bands and rows, (1 / bands)^(1 / rows)."""
    bands: int = Field(default=0, ge=0, le=10_000)
    """Number of bands; more bands find less similar documents. 0: by preset or threshold."""
    rows: int = Field(default=0, ge=0, le=1_000)
    """Hashes per band; more rows require more similar documents. 0: by preset or threshold."""
    shingle: int = Field(default=0, ge=0, le=1_000)
    """Words per shingle; shorter texts are only compared exactly. 0: by preset."""
    seed: int = Field(default=1, ge=0, lt=1 << 64)
    """Seed of the permutations."""
    verify: bool = True
    """Compare documents that share a band by the true similarity of their shingles, and drop one only if it
    is similar to the document that stays. Otherwise whole connected clusters collapse into one document."""
    max_cluster: int = Field(default=10_000, ge=2)
    """Clusters with more different texts are cut again with bands joined in twos, fours and so on, which
    only more similar documents share, and are listed in the report."""
    keep: tuple[Criterion, ...] = ("longest",)
    """Which copy stays, by the first criterion that differs: most words, latest or earliest date, highest
    quality score, or most preferred source. Ties: the smallest id."""
    sources: tuple[str, ...] = ()
    """Sources for ``keep = ["source"]``, the most preferred first; others come last."""
    output: Literal["documents", "duplicates"] = "documents"
    """What ``jobs/dedup.py`` writes: also the documents that stay, or only the table of duplicates."""
    run: str = ""
    """Finished run whose documents ``jobs/dedup.py`` decides about again, instead of ``input.paths``."""
    index: str = ""
    """Signature index of earlier corpora: documents that resemble one of theirs are dropped."""
    lines: LinesConfig = LinesConfig()
    substrings: SubstringsConfig = SubstringsConfig()

    @field_validator("keep")
    @classmethod
    def _criteria_do_not_contradict(cls, keep: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        if {"newest", "oldest"} <= set(keep) or len(set(keep)) < len(keep):
            raise PydanticCustomError(
                "criteria", "each criterion may be listed once, and newest and oldest exclude each other"
            )
        return keep


class DecontaminationConfig(Section):
    """Removal of evaluation items from the training text, by word n-grams (Brown et al. 2020, appendix C)."""

    paths: tuple[str, ...] = ()
    """Evaluation sets: JSONL files, folders and globs, also compressed; a set is named after its file. Empty:
    nothing is searched."""
    fields: tuple[str, ...] = ()
    """Fields whose texts are searched for, each on its own; a dot selects a field of an object. Empty: every
    field that holds text."""
    ngrams: tuple[int, ...] = (13, 8)
    """Words per n-gram, in descending order: a text is searched for by the first that it is long enough for.
    Shorter texts are not searched for, and are counted."""
    min_hits: int = Field(default=1, ge=1)
    """n-grams of one item, or all if it has fewer, that a document must contain to be contaminated by it."""
    action: Literal["drop", "cut", "mark"] = "drop"
    """``drop`` contaminated documents, ``cut`` the passages that match, or only report them (``mark``)."""
    margin: int = Field(default=200, ge=0)
    """Characters that ``cut`` removes on either side of a passage, up to the end of a word."""

    @field_validator("paths", "fields")
    @classmethod
    def _no_name_is_empty(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "" in names:
            raise PydanticCustomError("names", "a name must not be empty; remove it from the list")
        return names

    @field_validator("ngrams")
    @classmethod
    def _ngrams_descend(cls, ngrams: tuple[int, ...]) -> tuple[int, ...]:
        if not ngrams or min(ngrams) < 1 or list(ngrams) != sorted(set(ngrams), reverse=True):
            raise PydanticCustomError("ngrams", "must be numbers of words, each once and in descending order")
        return ngrams
