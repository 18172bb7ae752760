"""The errors Gristmill raises itself, and how a command line shows them.

::

    GristmillError
    ├── ConfigError      a key or value that the configuration does not allow
    ├── InputError       an input that is missing, or is not what it was said to be
    ├── OutputError      an output folder that holds something else
    ├── ManifestError    a stage that is unfinished, altered or of another version
    ├── MismatchError    parts that do not belong together (a tokenizer and foreign shards)
    ├── TrainingError    a run that must not go on (a loss that is not finite)
    └── ModelError       a model or a request that cannot be represented here

Every message names the value, the rule it breaks and the remedy, on one line.
"""

import sys
from collections.abc import Callable, Sequence


class GristmillError(Exception):
    """Root of every error that is Gristmill's own."""


class ConfigError(GristmillError):
    """A key or value that the configuration does not allow."""


class InputError(GristmillError):
    """An input that is missing, or is not what it was said to be."""


class OutputError(GristmillError):
    """An output folder that holds something else."""


class ManifestError(GristmillError):
    """A stage's output that is unfinished, altered or of another schema version."""


class MismatchError(GristmillError):
    """Parts that do not belong together."""


class TrainingError(GristmillError):
    """A training run that must not go on."""


class ModelError(GristmillError):
    """A model or a request that cannot be represented here."""


def run(main: Callable[[Sequence[str]], None], on_error: Callable[[], None] = lambda: None) -> None:
    """Run the ``main(arguments)`` of a program; report an error of ours as one line on stderr, exit code 1.

    ``on_error`` is called before any error is reported, ours or not, so that the report starts on a line of
    its own.
    """
    try:
        main(sys.argv[1:])
    except GristmillError as error:
        on_error()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except Exception:
        on_error()
        raise
