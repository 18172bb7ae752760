"""The report of a run as one offline HTML page.

``content.py`` defines everything that the page shows, and ``page.py`` renders it. Start reading with
:mod:`pipeline.reports.content`.
"""

from pipeline.reports.content import (
    Cluster,
    Content,
    CutCluster,
    Edits,
    EvaluationSet,
    Filter,
    FoundItem,
    Group,
    RepeatedText,
    Sample,
    Share,
    Step,
    TokenLedger,
)
from pipeline.reports.distribution import Distribution, Limit, Range
from pipeline.reports.funnel import Fate
from pipeline.reports.page import render

__all__ = [
    "Cluster",
    "Content",
    "CutCluster",
    "Distribution",
    "Edits",
    "EvaluationSet",
    "Fate",
    "Filter",
    "FoundItem",
    "Group",
    "Limit",
    "Range",
    "RepeatedText",
    "Sample",
    "Share",
    "Step",
    "TokenLedger",
    "render",
]
