"""Expansion of templates and parser functions to text.

Start with :mod:`~pipeline.extraction.wikitext.templates.expansion`. The templates that have text are listed
in ``data/templates/``; :mod:`~pipeline.extraction.wikitext.templates.unknown` treats those that are not.
"""

from pipeline.extraction.wikitext.templates.call import Place
from pipeline.extraction.wikitext.templates.expansion import expand

__all__ = ["Place", "expand"]
