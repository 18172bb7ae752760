"""Training of the extractor's model from pages with gold text.

The command is in :mod:`~pipeline.training.extractor.__main__`; the model's card is
``pipeline/extraction/html/models/main_content.md``. Needs the extra ``extractor``.
"""
