"""Main content of HTML pages.

A page is parsed into blocks (:mod:`~pipeline.extraction.html.blocks`), blocks become feature vectors
(:mod:`~pipeline.extraction.html.features`), and a model that ships with the package scores each block. Start
with :mod:`~pipeline.extraction.html.main_content`. :mod:`pipeline.training.extractor` trains the
model.
"""
