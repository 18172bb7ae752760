"""Model cards and data cards, generated from manifests and results files only.

:mod:`evals.card.content` reads the files. :mod:`evals.card.rendering` fills the Markdown templates and cites
a source file for every number. Start reading with ``evals/card/__main__.py``.
"""
