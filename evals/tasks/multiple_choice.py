"""Multiple choice: the model answers with the choice that it finds likeliest after the question.

Raw, the sum of a choice's log-likelihoods decides, which favours short ones; normalized, the sum per byte
does. EleutherAI's evaluation harness reports both as well.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evals.context import Bench, Outcome, Progress, Work, bare_text, messages
from evals.items import Item
from evals.likelihood import Request
from evals.statistics import share
from evals.suite import MultipleChoice

LEAST = 2
"""Choices of a question."""


def prepare(suite: MultipleChoice, items: Sequence[Item], bench: Bench) -> Work:
    """Check choices and answers, and tokenize each question with each of its choices."""
    examples, measured = bench.measured(suite, items)
    shots = [(each.filled(suite.prompt), _choices(suite, each)[_answer(suite, each)]) for each in examples]
    requests: list[Request] = []
    records: list[dict[str, Any]] = []
    for item in measured:
        choices, answer, prompt = _choices(suite, item), _answer(suite, item), item.filled(suite.prompt)
        own = [_request(suite, bench, prompt, shots, choice) for choice in choices]
        bench.fits(item, max(map(len, own)))
        requests += own
        records.append({"item": item.number, "prompt": prompt, "choices": choices, "answer": answer})

    def work(progress: Progress) -> Outcome:
        nats = iter(bench.log_likelihoods(requests, progress))
        for record in records:
            _judge(record, [next(nats) for _ in record["choices"]])
        return Outcome(
            [
                share("accuracy", [record["correct"] for record in records], "by log-likelihood"),
                share(
                    "accuracy (length-normalized)",
                    [record["correct_normalized"] for record in records],
                    "by log-likelihood per UTF-8 byte of the choice",
                ),
            ],
            records,
        )

    return work


def _judge(record: dict[str, Any], values: list[float]) -> None:
    sizes = np.array([len(choice.encode()) for choice in record["choices"]])
    chosen, normalized = int(np.argmax(values)), int(np.argmax(np.array(values) / sizes))
    record |= {
        "log_likelihoods": values,
        "chosen": chosen,
        "chosen_normalized": normalized,
        "correct": chosen == record["answer"],
        "correct_normalized": normalized == record["answer"],
    }


def _request(
    suite: MultipleChoice, bench: Bench, prompt: str, shots: Sequence[tuple[str, str]], choice: str
) -> Request:
    """The choice after its question. Tokens that question and choice share are counted to the choice."""
    tokenizer = bench.loaded.tokenizer
    if bench.chats(suite):
        return Request(bench.loaded.chat.prompt(messages(suite, prompt, shots)), tokenizer.encode(choice))
    text = bare_text(suite, prompt, shots)
    context = bench.start() + tokenizer.encode(text)
    whole = bench.start() + tokenizer.encode(text + suite.separator + choice)
    common = next(
        (place for place, (one, other) in enumerate(zip(context, whole, strict=False)) if one != other),
        min(len(context), len(whole)),
    )
    if not common:
        whole, common = bench.beginning() + whole, 1
    return Request(whole[:common], whole[common:])


def _choices(suite: MultipleChoice, item: Item) -> list[str]:
    if isinstance(suite.choices, str):
        choices = item.value(suite.choices)
        listed = isinstance(choices, list) and all(isinstance(choice, str) and choice for choice in choices)
        if not listed or len(choices) < LEAST:
            raise item.wrong(suite.choices, f"must be a list of {LEAST} or more texts")
        return list(choices)
    for field in suite.choices:
        if not item.text(field):
            raise item.wrong(field, "must be some text")
    return [item.text(field) for field in suite.choices]


def _answer(suite: MultipleChoice, item: Item) -> int:
    value = item.value(suite.answer)
    count = len(_choices(suite, item))
    text = str(value).strip()
    if isinstance(value, bool) or not text.isascii() or not text.isdigit() or int(text) >= count:
        raise item.wrong(suite.answer, f"must be the number of a choice, 0 to {count - 1}")
    return int(text)
