"""Content of the report, independent of its presentation. Its size does not grow with the corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.reports.distribution import Distribution, Limit
from pipeline.reports.tokenizer import TokenizerReport


@dataclass(frozen=True, slots=True)
class Share:
    """A labelled number of records."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the funnel: records dropped there and records remaining after it."""

    stage: str
    dropped: int
    records: int
    words: int | None = None
    """Words of the remaining records; None before extraction."""
    tokens: int | None = None
    """Estimated tokens of the remaining records; None before packing."""


@dataclass(frozen=True, slots=True)
class Group:
    """Records with the same source, language or site."""

    label: str
    records: int
    kept: int
    main_reason: str = ""
    """The reason that dropped the most records of the group."""


@dataclass(frozen=True, slots=True)
class Edits:
    """Text that editing removed from the kept documents of one source. White space does not count."""

    source: str
    documents: int
    edited: int
    """Documents from which something was removed."""
    lines: int
    characters: int
    of_characters: int
    """Characters before editing."""


@dataclass(frozen=True, slots=True)
class TokenLedger:
    """Token counts of one split and source. The shards hold ``encoded - cropped`` of the tokens."""

    split: str
    source: str
    documents: int
    encoded: int
    cropped: int
    positions: int
    """Tokens and padding."""
    languages: Sequence[tuple[str, int]]
    """Encoded tokens by language, the most first."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An example record, with the value and threshold that decided about it."""

    id: str
    url: str | None = None
    text: str | None = None
    title: str | None = None
    language: str | None = None
    value: float | None = None
    threshold: float | None = None
    duplicate_of: str | None = None
    toxicity: float | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """One reason to drop records, with its statistics."""

    reason: str
    meaning: str
    """Explanation, to follow "dropped, because"."""
    dropped: int
    reached: int | None = None
    """Records that no earlier condition dropped; None if not counted."""
    failing: int | None = None
    """Records that fail the condition, dropped by it or not; None if thresholds differ by language."""
    limit: Limit | None = None
    """The condition on the metric; None if the reason has none."""
    exceptions: int = 0
    """Number of languages with their own threshold; ``limit`` applies to all others."""
    metric: str = ""
    distribution: Distribution | None = None
    dropped_samples: Sequence[Sample] = ()
    kept_samples: Sequence[Sample] = ()
    """Kept records whose value is nearest to the threshold."""

    @property
    def stage(self) -> str:
        """Stage of the reason, the part before the dot."""
        return self.reason.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A duplicate cluster: the surviving document, then some of its duplicates."""

    size: int
    members: Sequence[Sample]
    indexed: bool = False
    """The survivor is a document of an earlier run, of which a signature index has the id only."""


@dataclass(frozen=True, slots=True)
class FoundItem:
    """An evaluation item that documents contain."""

    item: int
    """Number of its line in the set."""
    documents: int
    hits: int
    """The most n-grams of the item in one document."""
    passage: str
    """In that document."""
    examples: Sequence[str]
    """Ids of documents, those with the most n-grams first."""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A set of evaluation items, and what was found of it in the documents that no filter dropped."""

    name: str
    items: int
    not_searched: int
    """Items that are too short or unspecific."""
    items_hit: int
    documents_hit: int
    top_items: Sequence[FoundItem] = ()
    """Those in the most documents."""


@dataclass(frozen=True, slots=True)
class CutCluster:
    """A cluster that was too large and was cut by keys of several bands."""

    documents: int
    joined_bands: int
    clusters: int
    """Number of the resulting clusters."""
    largest: int
    sample: Sequence[str]
    """Ids of a document of some of them."""


@dataclass(frozen=True, slots=True)
class RepeatedText:
    """Repeated lines or passages that were found in the documents that stay."""

    reason: str
    """``lines`` or ``substrings``."""
    cut: bool
    """False if they were only marked."""
    documents: int
    spans: int
    characters: int
    samples: Sequence[Share]
    """Frequent ones among a sample, with their number there."""


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that the page shows."""

    counts: Mapping[str, int]
    preset: str = ""
    """Of the filters; empty if texts were deduplicated only, without extraction and filters."""
    funnel: Sequence[Step] = ()
    warnings: Sequence[str] = ()
    sources: Sequence[Group] = ()
    languages: Sequence[Group] = ()
    sites: Sequence[Group] = ()
    """Sites with the most records."""
    edits: Sequence[Edits] = ()
    """By source; empty if nothing was removed from kept documents."""
    filters: Sequence[Filter] = ()
    """In the order of evaluation."""
    unfiltered: Sequence[Distribution] = ()
    """Metrics without a condition."""
    cluster_sizes: Sequence[Share] = ()
    clusters: Sequence[Cluster] = ()
    """Examples."""
    cut_clusters: Sequence[CutCluster] = ()
    """The largest ones."""
    repeated: Sequence[RepeatedText] = ()
    evaluation_sets: Sequence[EvaluationSet] = ()
    """Empty if none were searched for."""
    seconds: Sequence[tuple[str, float]] = ()
    """Title and duration of every step."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens in shards by source; empty before packing."""
    token_ledger: Sequence[TokenLedger] = ()
    tokenizer: TokenizerReport | None = None
    """None before there is a tokenizer."""
    loss: Sequence[tuple[int, float]] = ()
    """Training loss by step; empty before training."""
    validation: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Bits per byte by source: of the model and of the unigram baseline."""
    configuration: str = ""
    """The resolved configuration as JSON."""
