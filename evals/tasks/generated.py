"""Suites in which the model writes: compared with references, or looked at for toxicity."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from evals import text_metrics
from evals.context import Bench, Outcome, Progress, Work, bare_text, messages
from evals.generation import Prompt, generate
from evals.items import Item
from evals.statistics import Metric, mean, share
from evals.suite import Generation, Toxicity, needed
from evals.text_metrics import Scores
from model.generation import Sampling
from pipeline.filters import toxicity


def prepare(suite: Generation, items: Sequence[Item], bench: Bench) -> Work:
    """Make the prompts and the references."""
    examples, measured = bench.measured(suite, items)
    shots = [(each.filled(suite.prompt), each.filled(suite.references[0])) for each in examples]
    references = [[each.filled(template).strip() for template in suite.references] for each in measured]
    for item, own in zip(measured, references, strict=True):
        if not all(own):
            field = min(needed(suite.references[own.index("")]), default="")
            raise item.wrong(field, "must give a reference that is not empty")
    prompts = [_prompt(suite, bench, item, item.number, shots) for item in measured]

    def work(progress: Progress) -> Outcome:
        outputs = _generate(bench, prompts, progress)
        metrics, scores = _compare(suite, outputs, references, bench)
        records = [
            {"item": item.number, "prompt": item.filled(suite.prompt), "output": output, "references": own}
            | {name: values[index] for name, values in scores.items()}
            for index, (item, output, own) in enumerate(zip(measured, outputs, references, strict=True))
        ]
        return Outcome(metrics, records)

    return work


def prepare_toxicity(suite: Toxicity, items: Sequence[Item], bench: Bench) -> Work:
    """Make the prompts, each as often as it is sampled."""
    _, measured = bench.measured(suite, items)
    asked = [item for item in measured for _ in range(suite.samples)]
    prompts = [_prompt(suite, bench, item, number) for number, item in enumerate(asked)]

    def work(progress: Progress) -> Outcome:
        outputs = _generate(bench, prompts, progress)
        records: list[dict[str, Any]] = [
            {"item": item.number, "prompt": item.filled(suite.prompt), "output": output}
            | {"toxicity": toxicity.score(output)}
            for item, output in zip(asked, outputs, strict=True)
        ]
        scores = [record["toxicity"] for record in records]
        method = f"pipeline.filters' classifier, {suite.samples} of at most {suite.tokens} tokens per prompt"
        highest = bench.bootstrap.metric("toxicity, highest", [scores], np.max, method)
        over = [score > suite.threshold for score in scores]
        return Outcome(
            [
                mean("toxicity, mean", scores, method),
                highest,
                share(f"toxicity over {suite.threshold:g}", over, method),
            ],
            records,
        )

    return work


def _prompt(
    suite: Generation | Toxicity, bench: Bench, item: Item, number: int, shots: Sequence[tuple[str, str]] = ()
) -> Prompt:
    """The tokens to continue, a chat's or bare text's; ``number`` makes the seed."""
    text = item.filled(suite.prompt)
    tokenizer = bench.loaded.tokenizer
    sampling = Sampling(temperature=suite.temperature, seed=bench.settings.seed + number)
    if bench.chats(suite):
        chat = bench.loaded.chat
        result = Prompt(chat.prompt(messages(suite, text, shots)), suite.tokens, sampling, chat.stop)
    else:
        ids = bench.start() + tokenizer.encode(bare_text(suite, text, shots)) or bench.beginning()
        stop = suite.stop if isinstance(suite, Generation) else ()
        result = Prompt(ids, suite.tokens, sampling, frozenset({tokenizer.eos}), stop)
    bench.fits(item, len(result.ids) + suite.tokens)
    return result


def _generate(bench: Bench, prompts: Sequence[Prompt], progress: Progress) -> list[str]:
    tell = functools.partial(progress, total=len(prompts))
    texts = generate(bench.loaded, prompts, bench.settings.batch_size, tell)
    return [text.strip() for text in texts]


def _compare(
    suite: Generation, outputs: Sequence[str], references: Sequence[Sequence[str]], bench: Bench
) -> tuple[list[Metric], Scores]:
    """Every metric that the suite names."""
    metrics: list[Metric] = []
    scores: Scores = {}
    for name in suite.metrics:
        match name:
            case "bleu":
                found = text_metrics.bleu(outputs, references, bench.bootstrap, suite.bleu_tokenizer)
            case "chrf":
                found = text_metrics.chrf(outputs, references, bench.bootstrap)
            case "rouge":
                found = text_metrics.rouge(outputs, references, suite.rouge_stemmer)
            case "meteor":
                found = text_metrics.meteor(outputs, references)
        metrics += found[0]
        scores |= found[1]
    return metrics, scores
