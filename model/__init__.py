"""The model: transformer, key-value cache, batching, generation, and every format it is read from or written to.

Start reading with :mod:`model.transformer`; :mod:`model.loading` loads a trained model from any supported
format.
"""
