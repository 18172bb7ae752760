"""The account of a run as one offline HTML page."""

from pipeline.reports.content import Content, Histogram, Sample, Share
from pipeline.reports.page import render

__all__ = ["Content", "Histogram", "Sample", "Share", "render"]
