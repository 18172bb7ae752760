"""The report as one HTML file that needs nothing else."""

from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.reports import charts
from pipeline.reports.content import Content

HIDDEN = ("toxicity", "url.")
"""Samples dropped by these reasons are shown after a click only."""


def render(content: Content) -> str:
    """The page. Every text of a record is escaped: a crawl is hostile."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html")
    fields = {name: getattr(content, name) for name in asdict(content)}
    return page.render(**fields, charts=charts, hidden=HIDDEN)
