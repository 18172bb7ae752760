"""Render the report as one self-contained HTML file."""

from dataclasses import fields
from functools import cache
from pathlib import Path

from jinja2 import Template

from core import html
from pipeline.reports import charts
from pipeline.reports.content import Content, Sample
from pipeline.reports.distribution import metrics
from pipeline.reports.funnel import stages

OFFENSIVE = 0.5
"""Toxicity score above which the text of a sample is hidden until clicked."""


def render(content: Content) -> str:
    """Return the page. All texts of records are escaped, since a crawl may contain hostile markup."""
    values = {each.name: getattr(content, each.name) for each in fields(content)}
    return _template().render(values)


@cache
def _template() -> Template:
    environment = html.environment(Path(__file__).with_name("templates"))
    environment.globals |= {
        "charts": charts,
        "metrics": metrics(),
        "stages": stages(),
        "may_offend": _may_offend,
    }
    return environment.get_template("report.html")


def _may_offend(sample: Sample) -> bool:
    return sample.toxicity is not None and sample.toxicity > OFFENSIVE
