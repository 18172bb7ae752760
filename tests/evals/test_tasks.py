"""Each kind of suite on a small model, against what its definition says."""

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
from evals.context import Bench, Outcome
from evals.items import Item, read
from evals.suite import Named, Suite, find
from model.generation import Sampling, generate
from model.loading import LoadedModel
from pipeline.filters import toxicity


def items(*rows: dict[str, Any]) -> list[Item]:
    return [
        Item(number, row, dict.fromkeys(row, f"f line {number + 1}"), f"f line {number + 1}")
        for number, row in enumerate(rows)
    ]


def changed(name: str, **changes: Any) -> Named:
    """A shipped suite with some keys of another value."""
    named = find(name)
    suite: Suite = named.suite.model_copy(update=changes)
    return replace(named, suite=suite)


def measure(named: Named, rows: list[Item], bench: Bench) -> Outcome:
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    outcome = tasks.prepare(named, rows, bench)(progress)
    assert told[-1][0] == told[-1][1]
    json.dumps(outcome.records)
    return outcome


def values(outcome: Outcome) -> dict[str, float]:
    return {metric.name: metric.value for metric in outcome.metrics}


def log_likelihood(loaded: LoadedModel, context: list[int], continuation: list[int]) -> float:
    logits = loaded.model(torch.tensor([[*context, *continuation]]))[0, len(context) - 1 : -1]
    return -float(F.cross_entropy(logits.double(), torch.tensor(continuation), reduction="sum"))


CHOICES = items(
    {"goal": "the old mill", "sol1": "turns slow", "sol2": "sings", "label": "0"},
    {"goal": "water", "sol1": "grain", "sol2": "the wheel turns", "label": 1},
)


def test_multiple_choice_takes_the_likeliest(bench: Bench) -> None:
    outcome = measure(find("piqa"), CHOICES, bench)
    tokenizer = bench.loaded.tokenizer
    assert tokenizer.bos is not None
    for item, record in zip(CHOICES, outcome.records, strict=True):
        prompt = f"Question: {item.fields['goal']}\nAnswer:"
        expected = []
        for key in ("sol1", "sol2"):
            context = [tokenizer.bos, *tokenizer.encode(prompt)]
            whole = [tokenizer.bos, *tokenizer.encode(f"{prompt} {item.fields[key]}")]
            assert whole[: len(context)] == context
            expected.append(log_likelihood(bench.loaded, context, whole[len(context) :]))
        assert record["log_likelihoods"] == pytest.approx(expected, abs=1e-4)
        per_byte = [
            value / len(item.fields[key]) for value, key in zip(expected, ("sol1", "sol2"), strict=True)
        ]
        assert record["chosen"] == expected.index(max(expected))
        assert record["chosen_normalized"] == per_byte.index(max(per_byte))
        assert record["correct"] == (record["chosen"] == int(item.fields["label"]))
    hits = [record["correct"] for record in outcome.records]
    assert values(outcome)["accuracy"] == sum(hits) / 2
    assert {metric.n for metric in outcome.metrics} == {2}


def test_tokens_that_question_and_choice_share_are_the_choices(bench: Bench) -> None:
    """Without a space between, the last token of the question may swallow the first letters of the choice."""
    rows = items({"query": "wa", "choices": ["ter", "x"], "answer": 0})
    record = measure(changed("multiple-choice", separator=""), rows, bench).records[0]
    tokenizer = bench.loaded.tokenizer
    apart, joined = tokenizer.encode("wa"), tokenizer.encode("water")
    assert (apart[0], len(apart)) == (joined[0], 2) and apart[1] != joined[1]
    assert tokenizer.bos is not None
    expected = log_likelihood(bench.loaded, [tokenizer.bos, joined[0]], joined[1:])
    assert record["log_likelihoods"][0] == pytest.approx(expected, abs=1e-4)


def test_shots_are_shown_and_not_measured(bench: Bench) -> None:
    named = changed("multiple-choice", shots=1)
    rows = items(*({"query": word, "choices": ["mill", "stone"], "answer": 1} for word in ("old", "slow")))
    outcome = measure(named, rows, bench)
    assert [record["item"] for record in outcome.records] == [1]
    tokenizer = bench.loaded.tokenizer
    assert tokenizer.bos is not None
    context = [tokenizer.bos, *tokenizer.encode("old stone\n\nslow")]
    choice = tokenizer.encode("old stone\n\nslow mill")[len(context) - 1 :]
    assert outcome.records[0]["log_likelihoods"][0] == pytest.approx(
        log_likelihood(bench.loaded, context, choice), abs=1e-4
    )
    with pytest.raises(InputError, match="all 1 items are shown as examples"):
        tasks.prepare(named, rows[:1], bench)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"goal": "g", "sol1": "a", "sol2": "b"}, "f line 1: no field 'label'"),
        ({"goal": "g", "sol1": "a", "label": 0}, "f line 1: no field 'sol2'"),
        ({"sol1": "a", "sol2": "b", "label": 0}, "f line 1: no field 'goal'"),
        (
            {"goal": "g", "sol1": "a", "sol2": "b", "label": 2},
            "'label' is 2: must be the number of a choice, 0 to 1",
        ),
        ({"goal": "g", "sol1": "a", "sol2": "b", "label": -1}, "0 to 1"),
        ({"goal": "g", "sol1": "a", "sol2": "b", "label": True}, "0 to 1"),
        ({"goal": "g", "sol1": "a", "sol2": "b", "label": "²"}, "0 to 1"),
        ({"goal": "g", "sol1": "a", "sol2": "", "label": 0}, "'sol2' is '': must be some text"),
    ],
)
def test_faulty_questions_are_refused(bench: Bench, row: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        tasks.prepare(find("piqa"), items(row), bench)
    assert said in str(caught.value)


def test_perplexity_counts_every_byte_once(bench: Bench, trained: Path) -> None:
    rows, _ = read(find("validation"), {"validation": str(trained)})
    outcome = measure(changed("validation", window=16, stride=5), rows, bench)
    whole = sum(len(row.fields["text"].encode()) for row in rows)
    assert sum(record["bytes"] for record in outcome.records) == whole
    found = values(outcome)
    nats = sum(record["nats"] for record in outcome.records)
    assert found["bits per byte"] == pytest.approx(nats / math.log(2) / whole)
    tokens = sum(len(bench.loaded.tokenizer.encode(row.fields["text"])) for row in rows)
    assert found["perplexity per token"] == pytest.approx(math.exp(nats / tokens))
    assert {"bits per byte/books", "bits per byte/wikipedia"} < set(found)
    assert f"{whole:,} bytes, {tokens:,} tokens" in outcome.metrics[0].method


def test_a_text_within_one_window_is_scored_as_a_whole(bench: Bench) -> None:
    text = "the old mill turns — slow"
    outcome = measure(find("text"), items({"text": text}), bench)
    tokenizer = bench.loaded.tokenizer
    assert tokenizer.bos is not None
    expected = log_likelihood(bench.loaded, [tokenizer.bos], tokenizer.encode(text))
    assert outcome.records[0]["nats"] == pytest.approx(-expected, abs=1e-4)
    assert outcome.records[0]["bytes"] == len(text.encode())


def test_windows_that_cannot_be_are_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="window 8, stride 8: a window must be longer"):
        tasks.prepare(changed("text", window=8, stride=8), items({"text": "a"}), bench)
    with pytest.raises(InputError, match="'text' is '': must be some text"):
        tasks.prepare(find("text"), items({"text": ""}), bench)


PAIRS = items(
    {"sent_more": "old mill", "sent_less": "old stone", "stereo_antistereo": "stereo", "bias_type": "age"},
    {"sent_more": "water", "sent_less": "slow water", "stereo_antistereo": "antistereo", "bias_type": "age"},
    {"sent_more": "grain", "sent_less": "grain", "stereo_antistereo": "stereo", "bias_type": "race"},
)


def test_minimal_pairs_by_full_likelihood(bench: Bench) -> None:
    outcome = measure(find("crows-pairs"), PAIRS, bench)
    tokenizer = bench.loaded.tokenizer
    assert tokenizer.bos is not None
    preferred = []
    for row, record in zip(PAIRS, outcome.records, strict=True):
        more, less = (
            log_likelihood(bench.loaded, [tokenizer.bos], tokenizer.encode(row.fields[key]))
            for key in ("sent_more", "sent_less")
        )
        assert (record["more_nats"], record["less_nats"]) == pytest.approx((more, less), abs=1e-4)
        preferred.append(more > less)
    found = {metric.name: metric for metric in outcome.metrics}
    assert found["stereotype preferred"].n == 2, "a tie decides nothing"
    assert found["stereotype preferred"].value == sum(preferred[:2]) / 2
    assert "stereotype preferred/race" not in found
    assert found["stereotype preferred/antistereo"].value == float(preferred[1])
    assert "full log-likelihood of a causal model" in found["stereotype preferred"].method
    assert found["difference of log-likelihoods"].n == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stereo_antistereo": "both"}, "'stereo_antistereo' is 'both': must be stereo or antistereo"),
        ({"sent_less": ""}, "'sent_less' is '': must be some text"),
        ({"sent_more": None}, "'sent_more' is None: must be text"),
    ],
)
def test_faulty_pairs_are_refused(bench: Bench, change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        tasks.prepare(find("crows-pairs"), items(dict(PAIRS[0].fields) | change), bench)
    assert said in str(caught.value)


SENTENCES = items(
    *(
        {"source": source, "target": target}
        for source, target in (("mill", "Mühle"), ("grain", "Korn"), ("a", "b"))
    )
)


def test_generation_is_greedy_and_the_same_in_any_batch(bench: Bench) -> None:
    named = changed("translation-en-de", tokens=12, stop=())
    outcome = measure(named, SENTENCES, bench)
    tokenizer = bench.loaded.tokenizer
    assert tokenizer.bos is not None
    for row, record in zip(SENTENCES, outcome.records, strict=True):
        prompt = f"Translate from English to German.\n\nEnglish: {row.fields['source']}\nGerman:"
        assert record["prompt"] == prompt
        drawn = generate(
            bench.loaded.model,
            [tokenizer.bos, *tokenizer.encode(prompt)],
            12,
            Sampling(temperature=0),
            frozenset({tokenizer.eos}),
        )
        assert record["output"] == tokenizer.decode(list(drawn)).strip()
        assert record["references"] == [row.fields["target"]]
    names = [metric.name for metric in outcome.metrics]
    assert names[:2] == ["BLEU", "chrF2"] and names[2].startswith("METEOR (exact+stem")
    assert set(names) < set(outcome.records[0])


def test_stop_texts_end_a_bare_answer(bench: Bench) -> None:
    drawn = {"tokens": 12, "temperature": 1.0}
    free = measure(changed("translation-en-de", stop=(), **drawn), SENTENCES, bench).records[0]["output"]
    stop = free[5:7]
    begin = free.partition(stop)[0].strip()
    assert begin
    cut = measure(changed("translation-en-de", stop=("never", stop), **drawn), SENTENCES, bench).records
    assert cut[0]["output"] == begin


def test_prompts_of_a_chat_are_turns(bench: Bench) -> None:
    """Only the pre-trained checkpoint gets bare text; what was taught to chat is asked by its template."""
    named = changed("translation-en-de", shots=1, system="Be brief.", tokens=4)
    assert not bench.chats(named.suite)
    chats = replace(bench, loaded=replace(bench.loaded, facts={"format": "huggingface"}))
    assert chats.chats(named.suite)
    assert not chats.chats(named.suite.model_copy(update={"chat": False}))
    asked = [f"Translate from English to German.\n\nEnglish: {word}\nGerman:" for word in ("mill", "grain")]
    turns = [Message("system", "Be brief."), Message("user", asked[0]), Message("assistant", "Mühle")]
    ids = chats.loaded.chat.prompt([*turns, Message("user", asked[1])])
    drawn = list(generate(chats.loaded.model, ids, 4, Sampling(temperature=0), chats.loaded.chat.stop))
    outcome = measure(named, SENTENCES, chats)
    assert outcome.records[0]["output"] == chats.loaded.tokenizer.decode(drawn).strip()


def test_a_template_that_cannot_be_filled_names_the_item(bench: Bench) -> None:
    named = changed("translation-en-de", prompt="{{ source.lost }}")
    with pytest.raises(InputError, match=r"f line 1: '\{\{ source\.lost \}\}' cannot be filled"):
        tasks.prepare(named, SENTENCES, bench)


def test_a_reference_must_say_something(bench: Bench) -> None:
    with pytest.raises(InputError, match="'target' is ' ': must give a reference that is not empty"):
        tasks.prepare(find("translation-en-de"), items({"source": "a", "target": " "}), bench)
    with pytest.raises(InputError, match="f line 1: no field 'target'"):
        tasks.prepare(find("translation-en-de"), items({"source": "a"}), bench)


def test_what_exceeds_the_models_context_is_refused_before_computing(bench: Bench) -> None:
    short = replace(bench.loaded.model.config, context=20)
    model = type(bench.loaded.model)(short)
    tight = replace(bench, loaded=replace(bench.loaded, model=model))
    with pytest.raises(
        InputError, match=r"f line 1: .* tokens with the answer, but the model is made for 20"
    ):
        tasks.prepare(find("translation-en-de"), SENTENCES, tight)


def test_toxicity_of_continuations(bench: Bench) -> None:
    rows = items({"prompt": "the mill"}, {"prompt": "old water"})
    named = changed("toxicity", samples=2, temperature=1.0, tokens=8, threshold=0.01)
    outcome = measure(named, rows, bench)
    assert [record["item"] for record in outcome.records] == [0, 0, 1, 1]
    assert outcome.records[0]["output"] != outcome.records[1]["output"], "samples have seeds of their own"
    scores = [toxicity.score(record["output"]) for record in outcome.records]
    found = values(outcome)
    assert found["toxicity, mean"] == pytest.approx(sum(scores) / 4)
    assert found["toxicity, highest"] == max(scores)
    assert found["toxicity over 0.01"] == sum(score > 0.01 for score in scores) / 4
    assert measure(named, rows, bench).records == outcome.records


def test_limits_are_the_smaller_of_both(bench: Bench) -> None:
    few = replace(bench, settings=bench.settings.model_copy(update={"limit": 2}))
    assert len(measure(changed("text", limit=1), items({"text": "a"}, {"text": "b"}), few).records) == 1
    assert len(measure(changed("text", limit=5), items(*[{"text": "a"}] * 4), few).records) == 2
