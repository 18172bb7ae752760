"""Training of the models that ship with the package, one package per model.

Start reading with a model's command, such as :mod:`~pipeline.training.extractor.__main__`.
"""
