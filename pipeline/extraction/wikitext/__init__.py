"""Wikitext to prose.

Start with :mod:`~pipeline.extraction.wikitext.parser`. Templates are expanded by
:mod:`~pipeline.extraction.wikitext.templates` according to the lists in ``data/``.
:mod:`~pipeline.extraction.wikitext.rendered_html` cleans pages that MediaWiki has already rendered to HTML.
"""

from pipeline.extraction.wikitext.options import Options
from pipeline.extraction.wikitext.parser import to_prose

__all__ = ["Options", "to_prose"]
