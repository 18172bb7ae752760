"""The model: transformer, key-value cache, batching, generation, and the formats it is stored in.

Start reading with :mod:`model.transformer`; :mod:`model.loading` loads a trained model from any supported
format.
"""
