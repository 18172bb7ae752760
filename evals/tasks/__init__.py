"""Task types, one module each.

Each module has a ``prepare`` function: it checks the items, builds the requests and returns a function that
runs the model. Start reading with :mod:`evals.tasks.multiple_choice`.
"""

from collections.abc import Sequence

from evals.context import EvalContext, PreparedTask
from evals.items import Item
from evals.suite import (
    GenerationSuite,
    MinimalPairsSuite,
    MultipleChoiceSuite,
    NamedSuite,
    PerplexitySuite,
    ToxicitySuite,
)
from evals.tasks import generation, minimal_pairs, multiple_choice, perplexity, toxicity


def prepare(named: NamedSuite, items: Sequence[Item], context: EvalContext) -> PreparedTask:
    """Check all items and build all requests of a suite.

    Raises :class:`core.errors.InputError` for an invalid item, and :class:`core.errors.ConfigError` for
    settings that the model does not allow.
    """
    match named.suite:
        case PerplexitySuite() as suite:
            return perplexity.prepare(suite, items, context)
        case MultipleChoiceSuite() as suite:
            return multiple_choice.prepare(suite, items, context)
        case MinimalPairsSuite() as suite:
            return minimal_pairs.prepare(suite, items, context)
        case GenerationSuite() as suite:
            return generation.prepare(suite, items, context)
        case ToxicitySuite() as suite:
            return toxicity.prepare(suite, items, context)
    raise AssertionError(f"no task for kind {named.suite.kind}")
