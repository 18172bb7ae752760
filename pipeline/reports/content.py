"""What the report says, before it is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Share:
    """A labelled number of records."""

    label: str
    count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """How one metric is distributed: ``counts[i]`` records between ``edges[i]`` and ``edges[i + 1]``."""

    metric: str
    edges: Sequence[float]
    counts: Sequence[int]
    thresholds: Mapping[str, float] = field(default_factory=dict)
    """The conditions on this metric, by reason."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A record to look at, with what decided about it."""

    id: str
    url: str
    text: str
    value: float | None = None
    threshold: float | None = None
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """Everything on the page. Nothing in it grows with the corpus."""

    counts: Mapping[str, int]
    by_source: Mapping[str, Mapping[str, int]]
    dropped: Sequence[Share]
    """By reason, most first."""
    languages: Sequence[Share]
    """Of the kept documents, most first."""
    cluster_sizes: Sequence[Share]
    histograms: Sequence[Histogram]
    dropped_samples: Mapping[str, Sequence[Sample]]
    kept_samples: Sequence[Sample]
    tokens: Mapping[str, int] = field(default_factory=dict)
    """Training tokens by source; empty before packing."""
    loss: Sequence[tuple[int, float]] = ()
    """Training loss by step; empty before training."""
    validation: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Bits per byte by source: the model's and the unigram baseline's."""
    configuration: str = ""
    """The resolved configuration as JSON."""
