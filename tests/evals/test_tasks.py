"""Each task type on a small model, compared with its definition."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from core.errors import ConfigError, InputError
from core.tokenizer.chat import Message
from evals import tasks
from evals.context import EvalContext, TaskResult
from evals.items import Item, read_items
from evals.suite import NamedSuite, Suite, load_suite
from model.generation import Sampling, generate
from model.loading import LoadedModel
from pipeline.filters import toxicity


def items(*rows: dict[str, Any]) -> list[Item]:
    return [
        Item(number, row, dict.fromkeys(row, f"f line {number + 1}"), f"f line {number + 1}")
        for number, row in enumerate(rows)
    ]


def changed(name: str, **changes: Any) -> NamedSuite:
    """Return a shipped suite with some keys changed."""
    named = load_suite(name)
    suite: Suite = named.suite.model_copy(update=changes)
    return replace(named, suite=suite)


def evaluate(named: NamedSuite, rows: list[Item], context: EvalContext) -> TaskResult:
    reported: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        reported.append((done, total))

    result = tasks.prepare(named, rows, context)(progress)
    assert reported[-1][0] == reported[-1][1]
    json.dumps(result.records)
    return result


def values(result: TaskResult) -> dict[str, float]:
    return {metric.name: metric.value for metric in result.metrics}


def log_likelihood(loaded: LoadedModel, prefix: list[int], continuation: list[int]) -> float:
    logits = loaded.model(torch.tensor([[*prefix, *continuation]]))[0, len(prefix) - 1 : -1]
    return -float(F.cross_entropy(logits.double(), torch.tensor(continuation), reduction="sum"))


CHOICES = items(
    {"goal": "the old mill", "sol1": "turns slow", "sol2": "sings", "label": "0"},
    {"goal": "water", "sol1": "grain", "sol2": "the wheel turns", "label": 1},
)


def test_multiple_choice_selects_most_likely_choice(context: EvalContext) -> None:
    result = evaluate(load_suite("piqa"), CHOICES, context)
    tokenizer = context.loaded.tokenizer
    assert tokenizer.bos is not None
    for item, record in zip(CHOICES, result.records, strict=True):
        prompt = f"Question: {item.fields['goal']}\nAnswer:"
        expected = []
        for key in ("sol1", "sol2"):
            prefix = [tokenizer.bos, *tokenizer.encode(prompt)]
            whole = [tokenizer.bos, *tokenizer.encode(f"{prompt} {item.fields[key]}")]
            assert whole[: len(prefix)] == prefix
            expected.append(log_likelihood(context.loaded, prefix, whole[len(prefix) :]))
        assert record["log_likelihoods"] == pytest.approx(expected, abs=1e-4)
        per_byte = [
            value / len(item.fields[key]) for value, key in zip(expected, ("sol1", "sol2"), strict=True)
        ]
        assert record["chosen"] == expected.index(max(expected))
        assert record["chosen_normalized"] == per_byte.index(max(per_byte))
        assert record["correct"] == (record["chosen"] == int(item.fields["label"]))
    hits = [record["correct"] for record in result.records]
    assert values(result)["accuracy"] == sum(hits) / 2
    assert {metric.n for metric in result.metrics} == {2}


def test_tokens_across_question_and_choice_are_scored_with_the_choice(context: EvalContext) -> None:
    """Without a separator, a token may contain the end of the question and the start of the choice."""
    rows = items({"query": "wa", "choices": ["ter", "x"], "answer": 0})
    record = evaluate(changed("multiple-choice", separator=""), rows, context).records[0]
    tokenizer = context.loaded.tokenizer
    apart, joined = tokenizer.encode("wa"), tokenizer.encode("water")
    assert (apart[0], len(apart)) == (joined[0], 2) and apart[1] != joined[1]
    assert tokenizer.bos is not None
    expected = log_likelihood(context.loaded, [tokenizer.bos, joined[0]], joined[1:])
    assert record["log_likelihoods"][0] == pytest.approx(expected, abs=1e-4)


def test_few_shot_examples_are_not_evaluated(context: EvalContext) -> None:
    named = changed("multiple-choice", shots=1)
    rows = items(*({"query": word, "choices": ["mill", "stone"], "answer": 1} for word in ("old", "slow")))
    result = evaluate(named, rows, context)
    assert [record["item"] for record in result.records] == [1]
    tokenizer = context.loaded.tokenizer
    assert tokenizer.bos is not None
    prefix = [tokenizer.bos, *tokenizer.encode("old stone\n\nslow")]
    choice = tokenizer.encode("old stone\n\nslow mill")[len(prefix) - 1 :]
    assert result.records[0]["log_likelihoods"][0] == pytest.approx(
        log_likelihood(context.loaded, prefix, choice), abs=1e-4
    )
    with pytest.raises(InputError, match="all 1 items are few-shot examples"):
        tasks.prepare(named, rows[:1], context)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"goal": "g", "sol1": "a", "sol2": "b"}, "f line 1: no field 'label'"),
        ({"goal": "g", "sol1": "a", "label": 0}, "f line 1: no field 'sol2'"),
        ({"sol1": "a", "sol2": "b", "label": 0}, "f line 1: no field 'goal'"),
        (
            {"goal": "g", "sol1": "a", "sol2": "b", "label": 2},
            "'label' is 2: must be the index of a choice, 0 to 1",
        ),
        ({"goal": "g", "sol1": "a", "sol2": "b", "label": -1}, "0 to 1"),
        ({"goal": "g", "sol1": "a", "sol2": "b", "label": True}, "0 to 1"),
        ({"goal": "g", "sol1": "a", "sol2": "b", "label": "²"}, "0 to 1"),
        ({"goal": "g", "sol1": "a", "sol2": "", "label": 0}, "'sol2' is '': must not be empty"),
    ],
)
def test_invalid_questions_are_rejected(context: EvalContext, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        tasks.prepare(load_suite("piqa"), items(row), context)
    assert message in str(caught.value)


def test_perplexity_counts_every_byte_once(context: EvalContext, trained: Path) -> None:
    rows, _ = read_items(load_suite("validation"), {"validation": str(trained)})
    result = evaluate(changed("validation", window=16, stride=5), rows, context)
    whole = sum(len(row.fields["text"].encode()) for row in rows)
    assert sum(record["bytes"] for record in result.records) == whole
    found = values(result)
    nats = sum(record["nats"] for record in result.records)
    assert found["bits per byte"] == pytest.approx(nats / math.log(2) / whole)
    tokens = sum(len(context.loaded.tokenizer.encode(row.fields["text"])) for row in rows)
    assert found["perplexity per token"] == pytest.approx(math.exp(nats / tokens))
    assert {"bits per byte/books", "bits per byte/wikipedia"} < set(found)
    assert f"{whole:,} bytes, {tokens:,} tokens" in result.metrics[0].method


def test_text_within_one_window_is_scored_at_once(context: EvalContext) -> None:
    text = "the old mill turns — slow"
    result = evaluate(load_suite("text"), items({"text": text}), context)
    tokenizer = context.loaded.tokenizer
    assert tokenizer.bos is not None
    expected = log_likelihood(context.loaded, [tokenizer.bos], tokenizer.encode(text))
    assert result.records[0]["nats"] == pytest.approx(-expected, abs=1e-4)
    assert result.records[0]["bytes"] == len(text.encode())


def test_invalid_windows_are_rejected(context: EvalContext) -> None:
    with pytest.raises(ConfigError, match="window 8, stride 8: the window must be longer"):
        tasks.prepare(changed("text", window=8, stride=8), items({"text": "a"}), context)
    with pytest.raises(InputError, match="'text' is '': must not be empty"):
        tasks.prepare(load_suite("text"), items({"text": ""}), context)


PAIRS = items(
    {"sent_more": "old mill", "sent_less": "old stone", "stereo_antistereo": "stereo", "bias_type": "age"},
    {"sent_more": "water", "sent_less": "slow water", "stereo_antistereo": "antistereo", "bias_type": "age"},
    {"sent_more": "grain", "sent_less": "grain", "stereo_antistereo": "stereo", "bias_type": "race"},
)


def test_minimal_pairs_compare_full_likelihoods(context: EvalContext) -> None:
    result = evaluate(load_suite("crows-pairs"), PAIRS, context)
    tokenizer = context.loaded.tokenizer
    assert tokenizer.bos is not None
    preferred = []
    for row, record in zip(PAIRS, result.records, strict=True):
        more, less = (
            log_likelihood(context.loaded, [tokenizer.bos], tokenizer.encode(row.fields[key]))
            for key in ("sent_more", "sent_less")
        )
        assert (record["more_nats"], record["less_nats"]) == pytest.approx((more, less), abs=1e-4)
        preferred.append(more > less)
    found = {metric.name: metric for metric in result.metrics}
    assert found["stereotype preferred"].n == 2, "ties are excluded"
    assert found["stereotype preferred"].value == sum(preferred[:2]) / 2
    assert "stereotype preferred/race" not in found
    assert found["stereotype preferred/antistereo"].value == float(preferred[1])
    assert "full log-likelihood of a causal model" in found["stereotype preferred"].method
    assert found["difference of log-likelihoods"].n == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stereo_antistereo": "both"}, "'stereo_antistereo' is 'both': must be stereo or antistereo"),
        ({"sent_less": ""}, "'sent_less' is '': must not be empty"),
        ({"sent_more": None}, "'sent_more' is None: must be text"),
    ],
)
def test_invalid_pairs_are_rejected(context: EvalContext, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        tasks.prepare(load_suite("crows-pairs"), items(dict(PAIRS[0].fields) | change), context)
    assert message in str(caught.value)


SENTENCES = items(
    *(
        {"source": source, "target": target}
        for source, target in (("mill", "Mühle"), ("grain", "Korn"), ("a", "b"))
    )
)


def test_greedy_generation_does_not_depend_on_batching(context: EvalContext) -> None:
    named = changed("translation-en-de", tokens=12, stop=())
    result = evaluate(named, SENTENCES, context)
    tokenizer = context.loaded.tokenizer
    assert tokenizer.bos is not None
    for row, record in zip(SENTENCES, result.records, strict=True):
        prompt = f"Translate from English to German.\n\nEnglish: {row.fields['source']}\nGerman:"
        assert record["prompt"] == prompt
        drawn = generate(
            context.loaded.model,
            [tokenizer.bos, *tokenizer.encode(prompt)],
            12,
            Sampling(temperature=0),
            frozenset({tokenizer.eos}),
        )
        assert record["output"] == tokenizer.decode(list(drawn)).strip()
        assert record["references"] == [row.fields["target"]]
    names = [metric.name for metric in result.metrics]
    assert names[:2] == ["BLEU", "chrF2"] and names[2].startswith("METEOR (exact+stem")
    assert set(names) < set(result.records[0])


def test_stop_texts_end_generation(context: EvalContext) -> None:
    drawn = {"tokens": 12, "temperature": 1.0}
    free = evaluate(changed("translation-en-de", stop=(), **drawn), SENTENCES, context).records[0]["output"]
    stop = free[5:7]
    begin = free.partition(stop)[0].strip()
    assert begin
    cut = evaluate(changed("translation-en-de", stop=("never", stop), **drawn), SENTENCES, context).records
    assert cut[0]["output"] == begin


def test_chat_prompts_use_the_chat_template(context: EvalContext) -> None:
    """Pre-trained checkpoints get plain text, all other models with a template get turns."""
    named = changed("translation-en-de", shots=1, system="Be brief.", tokens=4)
    assert not context.uses_chat_template(named.suite)
    chats = replace(context, loaded=replace(context.loaded, facts={"format": "huggingface"}))
    assert chats.uses_chat_template(named.suite)
    assert not chats.uses_chat_template(named.suite.model_copy(update={"chat": False}))
    asked = [f"Translate from English to German.\n\nEnglish: {word}\nGerman:" for word in ("mill", "grain")]
    turns = [Message("system", "Be brief."), Message("user", asked[0]), Message("assistant", "Mühle")]
    ids = chats.loaded.chat.prompt([*turns, Message("user", asked[1])])
    drawn = list(generate(chats.loaded.model, ids, 4, Sampling(temperature=0), chats.loaded.chat.stop))
    result = evaluate(named, SENTENCES, chats)
    assert result.records[0]["output"] == chats.loaded.tokenizer.decode(drawn).strip()


def test_template_errors_name_the_item(context: EvalContext) -> None:
    named = changed("translation-en-de", prompt="{{ source.lost }}")
    with pytest.raises(InputError, match=r"f line 1: '\{\{ source\.lost \}\}' cannot be rendered"):
        tasks.prepare(named, SENTENCES, context)


def test_empty_references_are_rejected(context: EvalContext) -> None:
    with pytest.raises(InputError, match="'target' is ' ': must produce a non-empty reference"):
        tasks.prepare(load_suite("translation-en-de"), items({"source": "a", "target": " "}), context)
    with pytest.raises(InputError, match="f line 1: no field 'target'"):
        tasks.prepare(load_suite("translation-en-de"), items({"source": "a"}), context)


def test_items_beyond_the_context_are_rejected(context: EvalContext) -> None:
    short = replace(context.loaded.model.config, context=20)
    model = type(context.loaded.model)(short)
    tight = replace(context, loaded=replace(context.loaded, model=model))
    with pytest.raises(
        InputError, match=r"f line 1: .* tokens with the answer, but the model's context is 20"
    ):
        tasks.prepare(load_suite("translation-en-de"), SENTENCES, tight)


def test_toxicity_of_continuations(context: EvalContext) -> None:
    rows = items({"prompt": "the mill"}, {"prompt": "old water"})
    named = changed("toxicity", samples=2, temperature=1.0, tokens=8, threshold=0.01)
    result = evaluate(named, rows, context)
    assert [record["item"] for record in result.records] == [0, 0, 1, 1]
    assert result.records[0]["output"] != result.records[1]["output"], "each sample has its own seed"
    scores = [toxicity.score(record["output"]) for record in result.records]
    found = values(result)
    assert found["toxicity, mean"] == pytest.approx(sum(scores) / 4)
    assert found["toxicity, highest"] == max(scores)
    assert found["toxicity over 0.01"] == sum(score > 0.01 for score in scores) / 4
    assert evaluate(named, rows, context).records == result.records


def test_smaller_of_both_limits_applies(context: EvalContext) -> None:
    few = replace(context, config=context.config.model_copy(update={"limit": 2}))
    assert len(evaluate(changed("text", limit=1), items({"text": "a"}, {"text": "b"}), few).records) == 1
    assert len(evaluate(changed("text", limit=5), items(*[{"text": "a"}] * 4), few).records) == 2
