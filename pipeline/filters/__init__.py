"""Filters: measure a document once, decide by named recipes, edit by C4's line rules, mask personal data."""

from pipeline.filters.filter_pipeline import FilterPipeline, FilterResult
from pipeline.filters.recipe import resolved, resolved_thresholds

__all__ = ["FilterPipeline", "FilterResult", "resolved", "resolved_thresholds"]
