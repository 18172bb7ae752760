"""What can be measured. Each kind checks its items and makes its prompts first, and computes after that."""

from collections.abc import Sequence

from evals.context import Bench, Work
from evals.items import Item
from evals.suite import Generation, MinimalPairs, MultipleChoice, Named, Perplexity, Toxicity
from evals.tasks import generated, minimal_pairs, multiple_choice, perplexity


def prepare(named: Named, items: Sequence[Item], bench: Bench) -> Work:
    """Find everything that is wrong with the items before anything is computed or written.

    Raises :class:`core.errors.InputError`.
    """
    match named.suite:
        case Perplexity() as suite:
            return perplexity.prepare(suite, items, bench)
        case MultipleChoice() as suite:
            return multiple_choice.prepare(suite, items, bench)
        case MinimalPairs() as suite:
            return minimal_pairs.prepare(suite, items, bench)
        case Generation() as suite:
            return generated.prepare(suite, items, bench)
        case Toxicity() as suite:
            return generated.prepare_toxicity(suite, items, bench)
    raise AssertionError(f"no way to measure {named.suite.kind}")
