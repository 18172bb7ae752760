"""HTML to its main content.

A page becomes blocks (:mod:`~pipeline.extraction.html.blocks`), blocks become features
(:mod:`~pipeline.extraction.html.features`), and a shipped model scores each block
(:mod:`~pipeline.extraction.html.main_content`, the place to start reading).
"""
