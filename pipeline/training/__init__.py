"""Training of shipped models on text from raw files, which takes readers, extraction and filters together.

One package per model; start reading with its commands, such as :mod:`~pipeline.training.toxicity.__main__`.
The model of main content only needs HTML and is trained in :mod:`pipeline.extraction.html.training`.
"""
