"""The grammar of neutral sentences, and the fit of context weights on a few texts."""

import random
import re

import pytest

from core.resources import read_toml
from pipeline.training.toxicity import context
from pipeline.training.toxicity.sets import offensive_words

GRAMMAR = read_toml("pipeline.training.toxicity", "data/neutral.toml")


@pytest.mark.parametrize("language", sorted(GRAMMAR))
def test_every_slot_of_the_grammar_has_entries_and_is_used(language: str) -> None:
    rules = GRAMMAR[language]
    used = {
        slot for entries in rules.values() for entry in entries for slot in re.findall(r"\{(\w+)\}", entry)
    }
    assert used - {"w", "w2"} == set(rules) - {"neutral", "insulting"}
    assert all(rules.values())


def test_sentences_are_complete_and_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "NEUTRAL_SENTENCES", 20)
    monkeypatch.setattr(context, "INSULTS", 5)
    sentences = list(context.neutral_sentences(random.Random(1)))
    assert len(sentences) == 20 * len(GRAMMAR) and not any("{" in each for each in sentences)
    assert sentences == list(context.neutral_sentences(random.Random(1)))
    listed = {word for words in offensive_words().values() for word in words}
    for insult in context.insults(random.Random(1)):
        assert any(word in insult for word in listed)


def test_fitted_weights_distinguish_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "NEUTRAL_SENTENCES", 300)
    rows = [(f"you are such a {word} {number}", True) for number in range(40) for word in ("bitch", "idiot")]
    sentences = [f"The museum of the town opens at {number} in the morning." for number in range(40)]
    fitted = context.fit_context({"davidson": rows, "korean": []}, sentences)
    offending = fitted.log_odds("you are such a moron".split(), "en")
    assert offending > 0 > fitted.log_odds("what is a moron in biology".split(), "en")
