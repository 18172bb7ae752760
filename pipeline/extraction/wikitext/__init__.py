"""Wikitext to prose.

Start with :mod:`~pipeline.extraction.wikitext.parser`; it uses templates, tables and units of measure.
:mod:`~pipeline.extraction.wikitext.rendered_html` cleans pages that MediaWiki has already rendered to HTML.
"""

from pipeline.extraction.wikitext.parser import Options, to_prose

__all__ = ["Options", "to_prose"]
