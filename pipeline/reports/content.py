"""What the report says, before it is drawn. Nothing in it grows with the corpus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.reports.distribution import Distribution, Limit


@dataclass(frozen=True, slots=True)
class Share:
    """A labelled number of records."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage dropped and what was left after it."""

    stage: str
    dropped: int
    records: int
    words: int | None = None
    """Words of the records left; None before the texts are measured."""
    tokens: int | None = None
    """The same in tokens, estimated; None without shards to tell how many tokens a word has."""


@dataclass(frozen=True, slots=True)
class Group:
    """Records that have a source, language or site in common."""

    label: str
    records: int
    kept: int
    main_reason: str = ""
    """What dropped most of the others."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A record to look at, with what decided about it."""

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
    """One reason to drop records, with what it did."""

    reason: str
    meaning: str
    """Words that follow "dropped, because"."""
    dropped: int
    reached: int | None = None
    """Records that nothing before it had dropped; None where that is not counted."""
    failing: int | None = None
    """Records that fail the condition, whatever dropped them; None where there is not one rule for all."""
    limit: Limit | None = None
    """What is demanded of the measure; None where a reason is no condition."""
    exceptions: int = 0
    """Languages that have a threshold of their own; the limit is that of all others."""
    metric: str = ""
    distribution: Distribution | None = None
    dropped_samples: Sequence[Sample] = ()
    kept_samples: Sequence[Sample] = ()
    """Those whose value is nearest to the threshold."""

    @property
    def stage(self) -> str:
        """The part of the reason that names the stage."""
        return self.reason.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Documents that are copies of each other: the one that stays, then some of the others."""

    size: int
    members: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything on the page."""

    counts: Mapping[str, int]
    preset: str = ""
    funnel: Sequence[Step] = ()
    warnings: Sequence[str] = ()
    sources: Sequence[Group] = ()
    languages: Sequence[Group] = ()
    sites: Sequence[Group] = ()
    """Those with most records."""
    filters: Sequence[Filter] = ()
    """In the order in which they are tried."""
    unfiltered: Sequence[Distribution] = ()
    """Measures that no condition looks at."""
    cluster_sizes: Sequence[Share] = ()
    clusters: Sequence[Cluster] = ()
    """A few examples."""
    seconds: Sequence[tuple[str, float]] = ()
    """What was done, and how long it took."""
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens in shards by source; empty before packing."""
    loss: Sequence[tuple[int, float]] = ()
    """Training loss by step; empty before training."""
    validation: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Bits per byte by source: the model's and the unigram baseline's."""
    configuration: str = ""
    """The resolved configuration as JSON."""
