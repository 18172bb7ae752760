"""Wikitext to prose: :mod:`~pipeline.extraction.wikitext.parser` with templates, tables and units of measure.

:mod:`~pipeline.extraction.wikitext.rendered_html` prepares pages that MediaWiki has rendered already.
"""

from pipeline.extraction.wikitext.parser import Wiki, prose

__all__ = ["Wiki", "prose"]
