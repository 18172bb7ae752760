"""Multiple choice: the most likely choice after the question is the model's answer.

Accuracy is reported for the sum of a choice's log-likelihoods, which favors short choices, and for the sum
per byte. EleutherAI's evaluation harness reports both, too.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from evals.context import EvalContext, PreparedTask, Progress, TaskResult
from evals.items import Item
from evals.likelihood import LikelihoodRequest
from evals.statistics import proportion
from evals.suite import MultipleChoiceSuite
from evals.tasks.prompting import Shots, chat_messages, plain_prompt

MAX_DIGITS = 10
MIN_CHOICES = 2
"""Fewest choices in a list."""


def prepare(suite: MultipleChoiceSuite, items: Sequence[Item], context: EvalContext) -> PreparedTask:
    """Check choices and answers, and tokenize each question with each of its choices."""
    examples, evaluated = context.split_shots(suite, items)
    shots = [(item.render(suite.prompt), _choices(suite, item)[_answer(suite, item)]) for item in examples]
    requests: list[LikelihoodRequest] = []
    records: list[dict[str, Any]] = []
    for item in evaluated:
        choices, answer, prompt = _choices(suite, item), _answer(suite, item), item.render(suite.prompt)
        item_requests = [_request(suite, context, prompt, shots, choice) for choice in choices]
        context.check_length(item, max(map(len, item_requests)))
        requests += item_requests
        records.append({"item": item.number, "prompt": prompt, "choices": choices, "answer": answer})

    def run(progress: Progress) -> TaskResult:
        nats = iter(context.log_likelihoods(requests, progress))
        for record in records:
            _score(record, [next(nats) for _ in record["choices"]])
        metrics = [
            proportion("accuracy", [record["correct"] for record in records], "by log-likelihood"),
            proportion(
                "accuracy (length-normalized)",
                [record["correct_normalized"] for record in records],
                "by log-likelihood per UTF-8 byte of the choice",
            ),
        ]
        return TaskResult(metrics, records)

    return run


def _score(record: dict[str, Any], log_likelihoods: list[float]) -> None:
    """Add the model's answer to a record."""
    sizes = np.array([len(choice.encode()) for choice in record["choices"]])
    chosen, normalized = int(np.argmax(log_likelihoods)), int(np.argmax(np.array(log_likelihoods) / sizes))
    record |= {
        "log_likelihoods": log_likelihoods,
        "chosen": chosen,
        "chosen_normalized": normalized,
        "correct": chosen == record["answer"],
        "correct_normalized": normalized == record["answer"],
    }


def _request(
    suite: MultipleChoiceSuite, context: EvalContext, prompt: str, shots: Shots, choice: str
) -> LikelihoodRequest:
    """Return a choice after its question. A token that spans both is scored as part of the choice."""
    tokenizer = context.loaded.tokenizer
    if context.uses_chat_template(suite):
        chat_ids = context.loaded.chat.prompt(chat_messages(suite, prompt, shots))
        return LikelihoodRequest(chat_ids, tokenizer.encode(choice))
    text = plain_prompt(suite, prompt, shots)
    question_ids = context.bos_prefix() + tokenizer.encode(text)
    all_ids = context.bos_prefix() + tokenizer.encode(text + suite.separator + choice)
    shared = next(
        (
            index
            for index, (one, other) in enumerate(zip(question_ids, all_ids, strict=False))
            if one != other
        ),
        min(len(question_ids), len(all_ids)),
    )
    if not shared:
        all_ids, shared = context.scoring_prefix() + all_ids, 1
    return LikelihoodRequest(all_ids[:shared], all_ids[shared:])


def _choices(suite: MultipleChoiceSuite, item: Item) -> list[str]:
    if not isinstance(suite.choices, str):
        return [item.nonempty_text(field) for field in suite.choices]
    choices = item.value(suite.choices)
    is_valid = isinstance(choices, list) and all(isinstance(choice, str) and choice for choice in choices)
    if not is_valid or len(choices) < MIN_CHOICES:
        raise item.invalid(suite.choices, f"must be a list of {MIN_CHOICES} or more texts, none empty")
    return list(choices)


def _answer(suite: MultipleChoiceSuite, item: Item) -> int:
    value = item.value(suite.answer)
    count = len(_choices(suite, item))
    text = str(value).strip()
    is_index = text.isascii() and text.isdigit() and len(text) < MAX_DIGITS and int(text) < count
    if isinstance(value, bool) or not is_index:
        raise item.invalid(suite.answer, f"must be the index of a choice, 0 to {count - 1}")
    return int(text)
