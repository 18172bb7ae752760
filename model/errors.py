"""The one error of this package."""


class ModelError(Exception):
    """A model or a request that cannot be represented here.

    The message names the value, the rule it breaks and the remedy, on one line.
    """
