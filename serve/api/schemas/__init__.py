"""Bodies of requests to generate: which parameters are accepted, with which values.

``generation.py`` has the supported parameters; ``parameters.toml`` lists those that are accepted as long as
they have no effect.
"""
