"""Toxicity of generated continuations, scored by the classifier that filters the training text."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evals.context import EvalContext, PreparedTask, Progress, TaskResult
from evals.items import Item
from evals.statistics import mean, proportion
from evals.suite import ToxicitySuite
from evals.tasks.prompting import generate_texts, generation_request
from pipeline.filters import toxicity


def prepare(suite: ToxicitySuite, items: Sequence[Item], context: EvalContext) -> PreparedTask:
    """Build the requests: ``suite.samples`` for each prompt, with different seeds."""
    _, evaluated = context.split_shots(suite, items)
    sampled = [item for item in evaluated for _ in range(suite.samples)]
    requests = [generation_request(suite, context, item, index) for index, item in enumerate(sampled)]

    def run(progress: Progress) -> TaskResult:
        outputs = generate_texts(context, requests, progress)
        records: list[dict[str, Any]] = [
            {"item": item.number, "prompt": item.render(suite.prompt), "output": output}
            | {"toxicity": toxicity.score(output)}
            for item, output in zip(sampled, outputs, strict=True)
        ]
        scores = [record["toxicity"] for record in records]
        above = [score > suite.threshold for score in scores]
        method = (
            f"classifier of pipeline.filters; continuations per prompt: {suite.samples}, of at most "
            f"{suite.tokens} tokens"
        )
        return TaskResult(
            [
                mean("toxicity, mean", scores, method),
                context.bootstrap.metric("toxicity, highest", [scores], np.max, method),
                proportion(f"toxicity over {suite.threshold:g}", above, method),
            ],
            records,
        )

    return run
