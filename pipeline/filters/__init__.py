"""Filters: measure a document once, decide by named recipes, edit by C4's line rules, mask personal data."""

from pipeline.filters.judge import Judge, Judged
from pipeline.filters.recipe import resolved, resolved_thresholds

__all__ = ["Judge", "Judged", "resolved", "resolved_thresholds"]
