"""Generated text, compared with references by text metrics."""

from collections.abc import Sequence

from evals import text_metrics
from evals.context import EvalContext, PreparedTask, Progress, TaskResult
from evals.items import Item
from evals.statistics import Bootstrap, Metric
from evals.suite import GenerationSuite, template_fields
from evals.tasks.prompting import generate_texts, generation_request
from evals.text_metrics import Scores


def prepare(suite: GenerationSuite, items: Sequence[Item], context: EvalContext) -> PreparedTask:
    """Build the requests and the references."""
    examples, evaluated = context.split_shots(suite, items)
    shots = [(item.render(suite.prompt), item.render(suite.references[0])) for item in examples]
    references = [_references(suite, item) for item in evaluated]
    requests = [generation_request(suite, context, item, item.number, shots) for item in evaluated]

    def run(progress: Progress) -> TaskResult:
        outputs = generate_texts(context, requests, progress)
        metrics, scores = _score(suite, outputs, references, context.bootstrap)
        samples = zip(evaluated, outputs, references, strict=True)
        records = [
            {"item": item.number, "prompt": item.render(suite.prompt), "output": output, "references": own}
            | {name: values[index] for name, values in scores.items()}
            for index, (item, output, own) in enumerate(samples)
        ]
        return TaskResult(metrics, records)

    return run


def _references(suite: GenerationSuite, item: Item) -> list[str]:
    references = [item.render(template).strip() for template in suite.references]
    if not all(references):
        field = min(template_fields(suite.references[references.index("")]), default="")
        raise item.invalid(field, "must produce a non-empty reference")
    return references


def _score(
    suite: GenerationSuite, outputs: Sequence[str], references: Sequence[Sequence[str]], bootstrap: Bootstrap
) -> tuple[list[Metric], Scores]:
    """Compute the suite's metrics, and the scores of each item."""
    metrics: list[Metric] = []
    scores: Scores = {}
    for name in suite.metrics:
        match name:
            case "bleu":
                result = text_metrics.bleu(outputs, references, bootstrap, suite.bleu_tokenizer)
            case "chrf":
                result = text_metrics.chrf(outputs, references, bootstrap)
            case "rouge":
                result = text_metrics.rouge(outputs, references, suite.rouge_stemmer)
            case "meteor":
                result = text_metrics.meteor(outputs, references)
        metrics += result[0]
        scores |= result[1]
    return metrics, scores
