"""Training of the toxicity classifier: its data sets, its word weights and its calibration.

The commands are in :mod:`~pipeline.training.toxicity.__main__`; the model's card is
``pipeline/filters/toxicity/models/toxicity.md``. Needs the extra ``toxicity``.
"""
