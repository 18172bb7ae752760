"""fastText classifiers of text quality and toxicity: preparing text, training, evaluation and the model card.

Start reading with :mod:`~pipeline.filters.classifier.stage`, the stage of ``jobs/train_classifier.py``.
"""
