"""The exceptions that Gristmill raises, and how a command line reports them.

::

    GristmillError
    ├── ConfigError      a key or value that the configuration does not allow
    ├── InputError       an input that is missing or has the wrong content
    ├── OutputError      an output folder with other content
    ├── ManifestError    a stage that is unfinished, altered or of another schema version
    ├── MismatchError    parts that do not belong together, such as a tokenizer and another run's shards
    ├── TrainingError    a training run that cannot continue, such as after a loss that is not finite
    └── ModelError       a model or a request that is not supported

Every message is one line with the value, the rule that it breaks and the remedy.
"""

import sys
from collections.abc import Callable, Sequence


class GristmillError(Exception):
    """Base class of all exceptions that Gristmill defines."""


class ConfigError(GristmillError):
    """A key or value that the configuration does not allow."""


class InputError(GristmillError):
    """An input that is missing or has the wrong content."""


class OutputError(GristmillError):
    """An output folder with other content."""


class ManifestError(GristmillError):
    """The output of a stage that is unfinished, altered or of another schema version."""


class MismatchError(GristmillError):
    """Parts that do not belong together."""


class TrainingError(GristmillError):
    """A training run that cannot continue."""


class ModelError(GristmillError):
    """A model or a request that is not supported."""


def run(main: Callable[[Sequence[str]], None], on_error: Callable[[], None] = lambda: None) -> None:
    """Run the ``main(arguments)`` of a program; report a :class:`GristmillError` in one line, exit code 1.

    ``on_error`` is called before any exception is reported, so that a job can end the line of a progress bar.
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
