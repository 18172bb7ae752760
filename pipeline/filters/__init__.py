"""Filters: compute a document's metrics once, decide by a named recipe, edit lines, mask personal data.

Start reading with :mod:`~pipeline.filters.filter_pipeline`, which runs all filters, and
:mod:`~pipeline.filters.recipe`, which decides.
"""

from pipeline.filters.filter_pipeline import FilterInput, FilterPipeline, FilterResult
from pipeline.filters.recipe import resolved, resolved_thresholds

__all__ = ["FilterInput", "FilterPipeline", "FilterResult", "resolved", "resolved_thresholds"]
